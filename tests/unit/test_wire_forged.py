"""Packets that an attacker made, checksum included, and stages that do not do what they say."""

import gc
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import zstandard

from fedlite.rng import stream
from fedlite.wire import (
    FORMATS,
    SPARSIFIERS,
    CodecError,
    WireError,
    codec,
    decode,
    decode_many,
    encode,
    encode_many,
    varint,
)
from fedlite.wire.formats.fp32 import Fp32

FLOAT = 0


def forged(text, tensors, body, flags=0):
    header = varint.put(len(text)) + text + varint.put(len(tensors))
    for dtype, shape in tensors:
        header += bytes([dtype << 4 | len(shape)]) + b"".join(map(varint.put, shape))
    start, rest = b"\xf5L\x01" + bytes([flags]), varint.put(len(header)) + header + body
    return start + zlib.crc32(rest, zlib.crc32(start)).to_bytes(4, "little") + rest


def refused_in(most_bytes, match, run):
    tracemalloc.start()
    with pytest.raises(WireError, match=match):
        run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most_bytes


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"nonzero", b"\0"),
        (b"nonzero", b"\2\0"),
        (b"int4:8", b"\0"),
        (b"sign+zstd", b"\0"),
        (b"topk:0.1+int4:8", b"\0"),
    ],
)
@pytest.mark.parametrize("elements", [2**17, 2**24, 2**27])
def test_thirty_bytes_cannot_announce_a_large_model(text, body, elements):
    refused_in(2**20, "expected at most 65536", lambda: decode(forged(text, [(FLOAT, [elements])], body)))


def test_blocks_are_counted_before_they_are_cut():
    packet = forged(b"int4:8", [(FLOAT, [2**26])], b"\0")
    refused_in(2**20, "bytes of numbers expected, got 1", lambda: decode(packet, most_elements=2**26))


def test_many_tensors_cost_in_proportion_and_are_not_kept():
    packets = [forged(b"fp32", [(FLOAT, [])] * count, b"\0") for count in (20_000, 20_001, 20_002)]
    refused_in(512 * len(packets[0]), "80000 bytes of numbers expected", lambda: decode(packets[0]))
    tracemalloc.start()
    for packet in packets[1:]:
        with pytest.raises(WireError):
            decode(packet)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 2**18


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = zstandard.ZstdCompressor().compress(bytes(2**26))
    packet = forged(b"fp32+zstd", [(FLOAT, [40])], bomb, flags=1)
    refused_in(2**16, "content of 67108864 bytes, expected 0 to 160", lambda: decode(packet, like=[np.zeros(40)]))
    refused_in(2**16, "content of 67108864 bytes, expected 0 to 160", lambda: decode(packet))


@pytest.mark.parametrize(
    "text", [b"topk:much", b"topk:1 s", b"topk:1e999", b"int4:" + b"9" * 99, b"fp32:\xff", b"+", b""]
)
def test_a_codec_that_cannot_be_read_is_a_wire_error(text):
    with pytest.raises(WireError, match="unreadable codec"):
        decode(forged(text, [(FLOAT, [3])], b"\0"))


def test_an_expected_layout_admits_what_length_alone_would_not_and_nothing_else():
    like = [np.ones((1000, 1000), np.float32), np.array(3)]
    packet = encode([np.zeros((1000, 1000), np.float32), np.array(3)], ("nonzero",))
    assert len(packet) < 50
    with pytest.raises(
        WireError, match="1000001 elements, expected at most 65536; pass most_elements, or the expected"
    ):
        decode(packet)
    for received in (decode(packet, like=like), [a[0] for a in decode_many([packet, packet], like=like)]):
        assert [a.shape for a in received] == [(1000, 1000), ()]
        assert not received[0].any()
    for other, message in (
        ([like[0]], "got 2 arrays of which 1 float, expected 1 and 1"),
        ([like[0].reshape(-1), like[1]], "other shapes, first at array 0"),
        ([like[0], np.array(3.0)], "got 2 arrays of which 1 float, expected 2 and 2"),
    ):
        for reader in (lambda: decode(packet, like=other), lambda: decode_many([packet], like=other)):
            with pytest.raises(WireError, match=message):
                reader()


def test_every_dense_packet_is_admitted_by_its_own_length():
    for stage in FORMATS:
        arrays = [np.ones((300, 300), np.float32)]
        assert decode(encode(arrays, (stage,), stream(1, "dense")))[0].shape == (300, 300)


def test_packets_of_different_models_are_not_stacked():
    a, b = encode([np.ones(3, np.float32)], ("fp32",)), encode([np.ones(4, np.float32)], ("fp32",))
    for packets in ([a, b], [a, encode([np.ones(3, np.float16)], ("nonzero",))]):
        with pytest.raises(WireError, match="other arrays than in the first"):
            decode_many(packets)
    with pytest.raises(WireError, match="got none, expected at least one"):
        decode_many([])


def test_packets_of_one_model_in_different_codecs_are_stacked():
    arrays = [np.array([0, 1, 2], np.float32)]
    received = decode_many([encode(arrays, ("fp32",)), encode(arrays, ("nonzero",)), encode(arrays, ("fp16",))])
    assert received[0].tolist() == [[0, 1, 2]] * 3


@pytest.mark.parametrize("stages", [("bf16",), ("bf16", "zstd"), ("nonzero", "bf16")])
def test_a_value_that_a_codec_rounds_beyond_float16_does_not_become_infinite(stages):
    largest = np.array([65504, -65504, 1], np.float16)
    assert decode(encode([largest], stages))[0].tolist() == largest.tolist()
    packets = encode_many([np.stack([largest])], stages, [None])
    assert decode_many(packets)[0].tolist() == [largest.tolist()]


@pytest.fixture
def register(monkeypatch):
    def put(table, name, stage):
        stage.text = name
        monkeypatch.setitem(table, name, lambda _: stage)

    yield put
    codec._parse.cache_clear()


@pytest.mark.parametrize("positions", [[1, 0], [0, 0], [0, 9], [-1, 2], [2, 1, 0]])
def test_a_sparsifier_that_chooses_impossible_positions_is_told_so(register, positions):
    chosen = SimpleNamespace(carries_update=True, most=lambda n: n, select=lambda _: np.array(positions))
    register(SPARSIFIERS, "chosen", chosen)
    with pytest.raises(CodecError, match="positions that do not increase from 0 to 2; mend its select"):
        encode([np.ones(3, np.float32)], ("chosen",))


def test_a_sparsifier_that_keeps_more_than_it_said_is_told_so(register):
    register(SPARSIFIERS, "greedy", SimpleNamespace(carries_update=True, most=lambda _: 2, select=np.flatnonzero))
    with pytest.raises(CodecError, match="3 positions from select, expected at most the 2 of most; mend"):
        encode([np.ones(3, np.float32)], ("greedy",))


class Odd(Fp32):
    """float32 that can be made to lie about lengths and shapes."""

    extra, shape = b"", (-1,)

    def __setattr__(self, name, value):
        self.__dict__[name] = value

    def encode(self, values, segments, rng):
        return super().encode(values, segments, rng) + self.extra

    def decode(self, payload, segments):
        return super().decode(payload, segments).reshape(self.shape)


def test_a_number_format_that_lies_about_its_length_or_shape_is_told_so(register):
    odd = Odd()
    register(FORMATS, "odd", odd)
    odd.extra = b"!"
    with pytest.raises(CodecError, match="13 bytes from encode, expected the 12 of encoded_bytes; mend"):
        encode([np.ones(3, np.float32)], ("odd",))
    odd.extra, odd.shape = b"", (1, 3)
    with pytest.raises(CodecError, match=r"shape \(1, 3\) from decode, expected a numpy array \(3,\); mend"):
        decode(encode([np.ones(3, np.float32)], ("odd",)))


def test_a_shuffle_of_broken_values_is_refused():
    numbers = np.zeros(3, "<f4").tobytes()
    assert decode(forged(b"fp32", [(FLOAT, [3])], numbers, flags=2))[0].tolist() == [0, 0, 0]
    with pytest.raises(WireError, match="12 bytes of numbers expected, got 11"):
        decode(forged(b"fp32", [(FLOAT, [3])], numbers[:-1], flags=2))
