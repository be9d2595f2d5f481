"""Every number format against a slow reference, one value at a time, bit for bit."""

import math
import struct

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import WireError, decode, encode, inspect, parse_codec
from fedlite.wire.bits import pack, pack_wide, packed_bytes, unpack, unpack_wide
from fedlite.wire.segments import Segments
from fedlite.wire.varint import Reader, put

TENSORS = [(7,), (3, 5), (1,), (4,)]


def values(seed=0):
    rng = stream(seed, "formats")
    return [rng.normal(size=shape).astype(np.float32) for shape in TENSORS[:-1]] + [np.zeros(4, np.float32)]


def body(arrays, codec, rng=None):
    buffer = encode(arrays, codec, rng)
    return buffer[inspect(buffer).header_bytes :]


def slow_integers(arrays, bits, block, rng):
    """Scales, then fields q + L packed low bits first; float32 arithmetic spelled out."""
    draws = iter(rng.random(sum(a.size for a in arrays), np.float32))
    levels = np.float32(2 ** (bits - 1) - 1)
    scales, fields, back = b"", [], []
    for array in arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, block or flat.size):
            part = flat[start : start + (block or flat.size)]
            scale = np.float32(max(abs(x) for x in part))
            scales += struct.pack("<f", scale)
            for x in part:
                level = np.float32(np.float32(np.float32(x / (scale or np.float32(1))) * levels) + next(draws))
                q = min(math.floor(np.float32(level + levels)), 2 * int(levels))
                fields.append(q)
                back.append(np.float32(np.float32(np.float32(q) - levels) * np.float32(scale / levels)))
    packed = sum(field << bits * place for place, field in enumerate(fields))
    return scales + packed.to_bytes(math.ceil(bits * len(fields) / 8), "little"), np.array(back, np.float32)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("block", [0, 8])
def test_stochastic_integers_equal_the_slow_reference(bits, block):
    codec = (f"int{bits}:{block}" if block else f"int{bits}",)
    wanted, back = slow_integers(values(), bits, block, stream(1, "draws"))
    assert body(values(), codec, stream(1, "draws")) == wanted
    received = decode(encode(values(), codec, stream(1, "draws")))
    assert np.concatenate([a.reshape(-1) for a in received]).tobytes() == back.tobytes()


class Unlucky:
    """A generator whose every draw is the largest number below 1."""

    def random(self, size, dtype):
        return np.full(size, np.nextafter(dtype(1), dtype(0)), dtype)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_largest_value_never_rounds_beyond_the_last_level(bits):
    array = np.array([3.0, -3.0, 0.0], np.float32)
    received = decode(encode([array], (f"int{bits}",), Unlucky()))[0]
    assert received.max() == 3.0
    assert received.min() >= -3.0


def test_sign_equals_the_slow_reference():
    arrays = values()
    scales = b"".join(struct.pack("<f", np.float32(np.abs(a.astype(np.float64)).mean())) for a in arrays)
    signs = [int(x < 0) for a in arrays for x in a.reshape(-1)]
    packed = sum(bit << place for place, bit in enumerate(signs)).to_bytes(math.ceil(len(signs) / 8), "little")
    assert body(arrays, ("sign",)) == scales + packed
    for got, was in zip(decode(encode(arrays, ("sign",))), arrays, strict=True):
        scale = np.float32(np.abs(was.astype(np.float64)).mean())
        assert got.tolist() == np.where(was < 0, -scale, scale).astype(np.float32).tolist()


def test_bf16_rounds_to_nearest_even_and_saturates():
    cases = {1.0: 1.0, 1.00390625: 1.0, 1.01171875: 1.015625, -1.0043: -1.0078125, 3.4e38: 3.3895313892515355e38}
    array = np.array([*cases, 0.0], np.float32)
    assert decode(encode([array], ("bf16",)))[0].tolist() == [*cases.values(), 0.0]


def test_fp16_is_numpy_s_half():
    array = values()[1]
    assert decode(encode([array], ("fp16",)))[0].tobytes() == array.astype(np.float16).astype(np.float32).tobytes()


def test_a_stochastic_codec_without_a_generator_says_so():
    with pytest.raises(WireError, match="int8: rounding is random, got no generator; pass rng"):
        encode(values(), ("int8",))


def test_more_precision_for_the_same_tensor_with_blocks():
    array = np.concatenate([np.full(64, 1e-3), [1.0], np.full(63, 1e-3)]).astype(np.float32)
    whole, blocks = (decode(encode([array], (codec,), stream(2, "blocks")))[0] for codec in ("int4", "int4:64"))
    assert np.abs(blocks - array)[:64].max() < 1e-6 < np.abs(whole - array)[:64].max() + 1e-3


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 3, 8, 9, 31])
def test_packing_takes_the_stated_bytes_and_returns_the_fields(bits, count):
    fields = stream(3, "fields").integers(0, 2**bits, count).astype(np.uint8)
    packed = pack(fields, bits)
    assert len(packed) == packed_bytes(count, bits) == math.ceil(bits * count / 8)
    assert unpack(memoryview(packed), count, bits).tolist() == fields.tolist()


@pytest.mark.parametrize("bits", [0, 1, 5, 13, 32])
def test_packing_wide_fields_returns_them(bits):
    fields = stream(3, "wide").integers(0, 2**bits, 17)
    packed = pack_wide(fields, bits)
    assert len(packed) == packed_bytes(17, bits)
    assert unpack_wide(memoryview(packed), 17, bits).tolist() == fields.tolist()


def test_fields_that_are_missing_are_noticed():
    with pytest.raises(WireError, match="3 fields of 4 bits take 2 bytes, got 1"):
        unpack(memoryview(b"\0"), 3, 4)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16_383, 16_384, 2**40, 2**62])
def test_variable_length_integers_read_back(value):
    reader = Reader(memoryview(put(value)))
    assert (reader.varint(), reader.left) == (value, 0)
    assert len(put(value)) == max(1, math.ceil(value.bit_length() / 7))


def test_an_endless_integer_is_refused():
    with pytest.raises(WireError, match="integer of more than 9 bytes"):
        Reader(memoryview(b"\xff" * 20)).varint()
    with pytest.raises(WireError, match="truncated"):
        Reader(memoryview(b"\xff")).varint()


def test_blocks_never_span_two_tensors():
    blocks = Segments([5, 0, 8, 1]).blocks(4)
    assert blocks.sizes.tolist() == [4, 1, 4, 4, 1]
    assert Segments([5, 0, 3]).at(np.array([0, 4, 6])).sizes.tolist() == [2, 1]


def test_a_number_beyond_the_levels_is_refused():
    from fedlite.wire.formats.stochastic_int import StochasticInt

    payload = struct.pack("<f", 1.0) + b"\x0f"
    with pytest.raises(WireError, match="out of range for int4"):
        StochasticInt(4).decode(memoryview(payload), Segments([1]))
    for scale in (math.nan, -1.0):
        with pytest.raises(WireError, match="out of range for sign"):
            parse_codec(["sign"]).number.decode(memoryview(struct.pack("<f", scale) + b"\0"), Segments([1]))


@pytest.mark.parametrize("codec", ["int8", "int4", "int2"])
def test_zeros_come_back_as_zeros_whatever_is_drawn(codec):
    """Beside the largest integer a draw just below 1 would be rounded to 1: once in 260,000 values."""
    values = np.zeros(2_000_000, np.float32)
    values[0] = 1.0
    read = decode(encode([values], (codec,), stream(1, "zeros", codec)))[0]
    assert np.count_nonzero(read[1:]) == 0


@pytest.mark.parametrize("codec", ["int8", "rtn8", "rtn8:weights"])
def test_the_largest_number_there_is_comes_back_finite(codec):
    most = np.finfo(np.float32).max
    values = np.array([[most, -most, 0.0, most / 3]], np.float32)
    read = decode(encode([values], (codec,), stream(2, "most", codec)))[0]
    assert np.isfinite(read).all()
    np.testing.assert_allclose(read, values, atol=float(most) / 100, rtol=0)
