"""Packets of a whole chunk of clients are those of each client, and are read in one go where they are plain."""

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import WireError, blocks, decode, decode_many, encode, encode_many, many, packet, parse_codec
from fedlite.wire.layout import layout_of

CLIENTS = 3


def clients():
    rng = stream(6, "many")
    return [
        [
            rng.normal(size=(2, 3)).astype(np.float32),
            rng.normal(size=4).astype(np.float64),
            np.zeros((0, 2), np.float32),
        ]
        for _ in range(CLIENTS)
    ]


def stacked(of):
    return [np.stack(tensors) for tensors in zip(*of, strict=True)]


def draws():
    return [stream(6, "draws", k) for k in range(CLIENTS)]


def counted(monkeypatch):
    """Count how often a packet is decoded by itself."""
    calls, decode_one = [], packet.decode
    monkeypatch.setattr(packet, "decode", lambda *given, **options: calls.append(1) or decode_one(*given, **options))
    return calls


@pytest.mark.parametrize("codec", [("fp32",), ("fp16",), ("bf16",), ("int8",), ("int4:8",), ("sign",)], ids="+".join)
def test_plain_packets_are_read_together_and_give_what_each_gives(codec, monkeypatch):
    packets = encode_many(stacked(clients()), codec, draws())
    assert packets == [encode(one, codec, rng) for one, rng in zip(clients(), draws(), strict=True)]
    wanted = stacked([decode(one) for one in packets])
    calls = counted(monkeypatch)
    read = decode_many(packets)
    assert not calls
    assert [(a.shape, a.dtype, a.tobytes()) for a in read] == [(a.shape, a.dtype, a.tobytes()) for a in wanted]
    assert [a.shape for a in read] == [(3, 2, 3), (3, 4), (3, 0, 2)]


@pytest.mark.parametrize("codec", [("topk:0.3",), ("nonzero", "fp16"), ("fp32", "zstd")], ids="+".join)
def test_packets_whose_length_depends_on_their_content_are_read_one_by_one(codec, monkeypatch):
    alike = [[np.tile(tensor[:1], (50, *(1 for _ in tensor.shape[1:]))) for tensor in one] for one in clients()]
    packets = encode_many(stacked(alike), codec, draws())
    wanted = stacked([decode(one) for one in packets])
    calls = counted(monkeypatch)
    assert [a.tobytes() for a in decode_many(packets)] == [a.tobytes() for a in wanted]
    assert len(calls) == CLIENTS


@pytest.mark.parametrize("kinds", [(np.int64,), (np.float32, np.int16), (np.bool_, np.float16, np.uint8)])
def test_integers_travel_in_chunks_too(kinds):
    of = [[np.array([k, 1, 0]).astype(kind) for kind in kinds] for k in range(CLIENTS)]
    packets = encode_many(stacked(of), ("fp32",), [None] * CLIENTS)
    assert packets == [encode(one, ("fp32",)) for one in of]
    for read, was in zip(decode_many(packets), stacked(of), strict=True):
        assert (read.dtype, read.tolist()) == (was.dtype, was.tolist())


def test_one_client_whose_values_are_not_finite_stops_the_chunk():
    arrays = stacked(clients())
    arrays[1][2, 0] = 1e300
    with pytest.raises(WireError, match="1 of 30 values that are NaN or infinite"):
        encode_many(arrays, ("fp32",), [None] * CLIENTS)


def test_the_layout_of_the_same_arrays_is_made_once():
    codec = parse_codec(("fp16",))
    assert layout_of(codec, (("float32", (3,)),)) is layout_of(codec, (("float32", (3,)),))
    assert layout_of(codec, (("float32", (3,)),)) is not layout_of(codec, (("float32", (4,)),))


@pytest.mark.parametrize("codec", [("fp32",), ("fp16",), ("int8",), ("fp32", "zstd")], ids="+".join)
def test_chunks_of_many_blocks_are_the_packets_of_each_client(codec, monkeypatch):
    whole = encode_many(stacked(clients()), codec, draws())
    monkeypatch.setattr(many, "BLOCK_BYTES", 1)
    assert (
        encode_many(stacked(clients()), codec, draws())
        == whole
        == [encode(one, codec, rng) for one, rng in zip(clients(), draws(), strict=True)]
    )


@pytest.mark.parametrize(
    ("clients_", "each", "sizes"), [(5, 2**19, [2, 2, 1]), (3, 2**30, [1, 1, 1]), (4, 0, [4]), (0, 9, [])]
)
def test_blocks_take_every_client_once(clients_, each, sizes):
    runs = blocks(clients_, each)
    assert [len(range(clients_)[run]) for run in runs] == sizes
    assert [k for run in runs for k in range(clients_)[run]] == list(range(clients_))


def test_only_packets_said_to_be_intact_go_unchecked():
    packets = encode_many(stacked(clients()), ("fp32",), draws())
    damaged = [packets[0], packets[1][:-1] + bytes([packets[1][-1] ^ 1]), packets[2]]
    with pytest.raises(WireError, match="checksum"):
        decode_many(damaged)
    right, wrong = (decode_many(some, intact=True) for some in (packets, damaged))
    assert [int((a != b).sum()) for a, b in zip(right, wrong, strict=True)] == [0, 1, 0]
    with pytest.raises(WireError, match="checksum"):
        decode_many([damaged[1]], intact=True)
