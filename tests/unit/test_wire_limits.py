"""Where the wire's limits lie, to the unit: the last thing that passes and the first that does not."""

import zlib
from dataclasses import is_dataclass

import numpy as np
import pytest
import zstandard

from fedlite.rng import stream
from fedlite.wire import (
    CodecError,
    WireError,
    decode,
    encode,
    from_update,
    inspect,
    most_bytes,
    parse_codec,
    sends_update,
    to_update,
    varint,
)
from fedlite.wire.codec import MOST_TEXT_BYTES, Codec, known_codec
from fedlite.wire.formats.fp16 import LARGEST
from fedlite.wire.layout import layout_of, read_layout
from fedlite.wire.lossless.zstd import Zstd
from fedlite.wire.shuffle import shuffle, unshuffle
from fedlite.wire.sparsifiers.fraction import SMALLEST
from fedlite.wire.sparsifiers.topk import TopK

DECLARED = {
    # stage: sends the update, draws random numbers, may lengthen, poor for models, bytes of a value for the shuffle
    "fp32": (False, False, False, None, 4),
    "fp16": (False, False, True, None, 2),
    "bf16": (True, False, True, None, 2),
    "int8": (True, True, True, None, 1),
    "int4:64": (True, True, True, None, 1),
    "int2": (True, True, True, "int2", 1),
    "sign": (True, False, True, "sign", 1),
    "nonzero": (False, False, False, None, 4),
    "nonzero+fp16+zstd": (False, False, True, None, 2),
    "topk:0.1": (True, False, False, "topk:0.1", 4),
    "topk:0.1+int8": (True, True, True, "topk:0.1", 1),
}


@pytest.mark.parametrize("text", DECLARED)
def test_what_a_codec_declares(text):
    codec = parse_codec(text.split("+"))
    found = codec.sends_update, codec.stochastic, codec.lengthens, codec.only_for_updates, codec.number.stride
    assert found == DECLARED[text]
    assert sends_update(text.split("+")) == DECLARED[text][0]
    assert all(is_dataclass(part) for part in (codec.number, codec.sparsifier, codec.lossless) if part is not None)


def test_fifteen_dimensions_travel():
    array = np.arange(2, dtype=np.float32).reshape((1,) * 14 + (2,))
    assert decode(encode([array], ("fp32",)))[0].shape == array.shape


@pytest.mark.parametrize("block", [8, 9, 65_535, 65_536])
def test_blocks_from_eight_to_sixty_five_thousand(block):
    assert parse_codec([f"int4:{block}"]).text == f"int4:{block}"


@pytest.mark.parametrize("block", ["7", "65537", "-8", "8.0", "", "x", "100000", " 8"])
def test_other_blocks_are_refused(block):
    with pytest.raises(CodecError, match="expected a whole number from 8 to 65536; write for example 'int4:256'"):
        parse_codec([f"int4:{block}"])


@pytest.mark.parametrize("share", [SMALLEST, 0.9999])
def test_shares_that_top_k_takes(share):
    assert TopK.parse(str(share)).fraction == share


@pytest.mark.parametrize("share", ["0.00009", "0", "1", "1.5", "100%"])
def test_shares_that_top_k_refuses(share):
    with pytest.raises(CodecError, match=r"expected at least 0\.0001 and below 1"):
        TopK.parse(share)


@pytest.mark.parametrize(
    ("share", "count", "kept"), [(0.1, 30, 3), (0.1, 31, 4), (0.1, 1, 1), (0.5, 0, 0), (0.25, 4, 1)]
)
def test_top_k_keeps_the_ceiling_of_its_share(share, count, kept):
    assert TopK(share).most(count) == kept
    assert TopK(share).select(np.arange(1, count + 1, dtype=np.float32)).tolist() == list(range(count - kept, count))


@pytest.mark.parametrize(
    ("values", "positions"),
    [
        ([1, -3, 3, 2, 3], [1, 2]),
        ([0, 0, 5, 0, 0], [2]),
        ([0, 0, 0, 0, 0], []),
        ([2, 2, 2, 2, 2], [0, 1]),
        ([1, 2, -2, 2, 3], [1, 4]),
    ],
)
def test_top_k_breaks_ties_by_position_and_sends_no_zero(values, positions):
    assert TopK(0.4).select(np.array(values, np.float32)).tolist() == positions


def test_the_longest_name_of_a_codec(monkeypatch):
    from fedlite.wire import FORMATS, codec
    from fedlite.wire.formats.fp32 import Fp32

    for length in (MOST_TEXT_BYTES, MOST_TEXT_BYTES + 1):
        name = "x" * length
        monkeypatch.setitem(FORMATS, name, lambda _, name=name: Fp32(text=name))
    codec._parse.cache_clear()
    longest = parse_codec(["x" * MOST_TEXT_BYTES])
    assert read_layout(layout_of(longest, ()).header).codec == longest
    with pytest.raises(CodecError, match="got 257 characters, expected at most 256"):
        parse_codec(["x" * (MOST_TEXT_BYTES + 1)])
    with pytest.raises(WireError, match="a codec name of 257 bytes"):
        read_layout(varint.put(257) + b"x" * 257)
    codec._parse.cache_clear()


def test_a_header_is_read_to_its_last_byte_and_no_further():
    header = layout_of(parse_codec(["fp32"]), (("float32", (3,)), ("uint64", (2, 1)))).header
    assert read_layout(header).tensors == (("float32", (3,)), ("uint64", (2, 1)))
    with pytest.raises(WireError, match="1 bytes too many in the header"):
        read_layout(header + b"\0")
    with pytest.raises(WireError, match="unknown data type 12"):
        read_layout(varint.put(4) + b"fp32" + b"\1\xc0")


def test_a_layout_counts_what_decoding_has_to_allocate():
    layout = layout_of(parse_codec(["fp32"]), (("float32", (3, 0)), ("int16", (2, 5)), ("float64", ()), ("bool", (4,))))
    assert (layout.floats, layout.integers, layout.sizes) == ((0, 2), (1, 3), (0, 10, 1, 4))
    assert (layout.integer_bytes, layout.elements, layout.segments.total) == (24, 3 + 10 + 1 + 4, 1)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_the_largest_half_passes_and_the_next_does_not(value):
    assert decode(encode([np.array([value], np.float32)], ("fp16",)))[0].tolist() == [value]
    with pytest.raises(WireError, match="magnitude 65520, expected at most 65504"):
        encode([np.array([value / LARGEST * 65_520, 1], np.float32)], ("fp16",))


def test_bf16_saturates_on_both_sides_and_keeps_the_sign_of_zero():
    array = np.array([3.4e38, -3.4e38, -0.0, -1.00390625, -1.01171875, 1e-40], np.float32)
    read = decode(encode([array], ("bf16",)))[0]
    assert read[:2].tolist() == [3.3895313892515355e38, -3.3895313892515355e38]
    assert np.signbit(read).tolist() == [False, True, True, True, True, False]
    assert read[3:5].tolist() == [-1.0, -1.015625]
    assert read[5] == pytest.approx(1e-40, rel=2**-6)


@pytest.mark.parametrize(("stride", "shuffled"), [(1, b"abcdef"), (2, b"acebdf"), (3, b"adbecf")])
def test_a_shuffle_puts_bytes_of_one_place_together(stride, shuffled):
    assert shuffle(b"abcdef", stride) == shuffled
    assert unshuffle(memoryview(shuffled), stride) == b"abcdef"


@pytest.mark.parametrize("number", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("nonzero", "flag"), [(50, 0), (51, 2), (100, 2)])
def test_numbers_are_shuffled_before_the_lossless_stage_if_most_are_not_zero(nonzero, flag, number):
    array = np.zeros(100, np.float32)
    array[:nonzero] = stream(7, "shuffle").normal(size=nonzero).astype(np.float32)
    packet = encode([array], (number, "zstd"))
    plain = encode([array], (number,))
    assert (packet[3] & 2, plain[3]) == (flag, 0)
    assert decode(packet)[0].tolist() == decode(plain)[0].tolist()


def test_a_packet_tells_its_own_parts():
    packet = encode([np.zeros((2, 500), np.float32), np.array(3)], ("nonzero", "fp32", "zstd"))
    info = inspect(packet)
    assert info.codec == ("nonzero", "fp32", "zstd")
    assert info.tensors == (("float32", (2, 500)), ("int64", ()))
    assert info.header_bytes + info.body_bytes == len(packet)
    assert info.header_bytes == 8 + 1 + len(layout_of(known_codec("nonzero+fp32+zstd"), info.tensors).header)
    assert not info.compressed
    assert inspect(encode([np.zeros(1000, np.float32)], ("fp32", "zstd"))).compressed


def test_a_packet_may_lie_in_a_buffer_with_gaps():
    packet = encode([np.arange(5, dtype=np.float32)], ("fp32",))
    spread = np.repeat(np.frombuffer(packet, np.uint8), 2)[::2]
    assert decode(spread)[0].tolist() == [0, 1, 2, 3, 4]
    assert inspect(spread).body_bytes == 20


def test_a_compressed_packet_of_a_codec_that_does_not_compress_is_refused():
    packet = bytearray(encode([np.arange(5, dtype=np.float32)], ("fp32",)))
    packet[3] |= 1
    packet[4:8] = zlib.crc32(packet[8:], zlib.crc32(packet[:4])).to_bytes(4, "little")
    with pytest.raises(WireError, match="compressed without a lossless stage"):
        decode(bytes(packet))


def test_a_frame_that_does_not_state_its_size_is_refused():
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"12345678")
    with pytest.raises(WireError, match="content of -1 bytes, expected 0 to 8"):
        Zstd().decompress(memoryview(frame), 8)
    assert Zstd().decompress(memoryview(Zstd().compress(b"12345678")), 8) == b"12345678"
    with pytest.raises(WireError, match="content of 8 bytes, expected 0 to 7"):
        Zstd().decompress(memoryview(Zstd().compress(b"12345678")), 7)
    assert Zstd().decompress(memoryview(Zstd().compress(b"")), 0) == b""


def test_bytes_that_are_no_values_are_not_shuffled():
    assert encode([np.arange(1, 9, dtype=np.float32)], ("int8", "zstd"), stream(1, "flags"))[3] & 2 == 0


def test_codecs_are_equal_by_their_stages_alone():
    ours = parse_codec(["topk:0.1", "fp16", "zstd"])
    theirs = Codec(ours.stages, object(), object(), object())
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert ours != parse_codec(["topk:0.1", "fp16"])


def test_the_largest_length_never_counts_more_values_in_a_tensor_than_it_has():
    arrays = [np.ones(8, np.float32), np.ones(8, np.float32)]
    whole, blocks = (most_bytes(arrays, ("topk:0.99", number)) for number in ("int8", "int8:8"))
    assert blocks - whole == len(":8")


@pytest.mark.parametrize("convert", [to_update, from_update])
def test_updates_are_of_as_many_arrays_as_the_model_has(convert):
    one, two = [np.ones(2)], [np.ones(2), np.ones(3)]
    for new, old in ((one, two), (two, one)):
        with pytest.raises(ValueError, match="zip"):
            convert(new, old)
