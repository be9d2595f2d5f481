"""Rounding to nearest, against plain loops."""

import math

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import CodecError, check_downlink, decode, encode, inspect, parse_codec
from fedlite.wire.bits import pack, packed_bytes, unpack


def reference(array, levels, *, by_row):
    """Round one number at a time."""
    rows = array.reshape(len(array), -1) if by_row and array.ndim > 1 else array.reshape(1, -1)
    out = []
    for row in rows:
        scale = max(abs(float(x)) for x in row)
        for x in row:
            q = round(float(np.float32(np.float32(x / np.float32(scale or 1)) * np.float32(levels))))  # ties to even
            out.append(np.float32(q) * np.float32(np.float32(scale) / np.float32(levels)))
    return np.array(out, np.float32).reshape(array.shape)


@pytest.mark.parametrize(("bits", "levels"), [(8, 127), (4, 7), (2, 1)])
@pytest.mark.parametrize("argument", ["", ":weights"])
def test_every_value_is_the_nearest_multiple_of_its_row_s_step(bits, levels, argument):
    rng = stream(1, "rtn")
    arrays = [
        (rng.normal(size=(5, 3, 2)) * 10.0 ** np.arange(5)[:, None, None]).astype(np.float32),
        rng.normal(size=9).astype(np.float32),
        np.float32([[0.5, 1.5, 2.5, 7.0], [0, 0, 0, 0]]),
    ]
    buffer = encode(arrays, (f"rtn{bits}{argument}",))
    for got, was in zip(decode(buffer), arrays, strict=True):
        kept = argument and was.ndim < 2
        np.testing.assert_array_equal(got, was if kept else reference(was, levels, by_row=not argument))
    # By row 5 + 1 + 2 scales; else 2, and 9 values of the vector as they are.
    floats, integers = (9 + 2, 30 + 8) if argument else (8, 30 + 9 + 8)
    assert inspect(buffer).body_bytes == 4 * floats + math.ceil(bits * integers / 8)


def test_a_scale_of_its_own_keeps_a_small_row_that_a_common_one_loses():
    array = np.float32([[1000, -500], [0.01, 0.02]])
    by_row, by_tensor = (decode(encode([array], (stage,)))[0] for stage in ("rtn8", "rtn8:weights"))
    np.testing.assert_allclose(by_row[1], array[1], rtol=0.01)
    assert not by_tensor[1].any()


def test_a_tie_goes_to_the_even_step():
    assert decode(encode([np.float32([0.5, 1.5, 2.5, -2.5, 7.0])], ("rtn4",)))[0].tolist() == [0, 2, 2, -2, 7]


def test_behind_a_sparsifier_there_are_no_rows():
    array = np.float32([[4, 0], [0, 1]])
    assert decode(encode([array], ("nonzero", "rtn2")))[0].tolist() == [[4, 0], [0, 0]]
    assert decode(encode([array], ("rtn2",)))[0].tolist() == [[4, 0], [0, 1]]


def test_two_bits_stay_off_the_downlink_and_four_may_go_down():
    assert check_downlink(["rtn4", "zstd"]).text == "rtn4+zstd"
    with pytest.raises(CodecError, match="downlink: got 'rtn2'"):
        check_downlink(["rtn2"])


def test_another_argument_is_refused():
    with pytest.raises(CodecError, match=r"rtn4: got 'row', expected 'rtn4' or 'rtn4:weights'; write one"):
        parse_codec(["rtn4:row"])


@pytest.mark.parametrize("bits", range(1, 9))
def test_fields_of_any_width_lie_one_behind_the_other_from_the_low_bit_up(bits):
    for count in (0, 1, 7, 8, 9, 100, 1001):
        fields = stream(2, "fields", count).integers(2**bits, size=count, dtype=np.uint8)
        packed = pack(fields, bits)
        assert len(packed) == packed_bytes(count, bits)
        assert int.from_bytes(packed, "little") == sum(int(f) << (bits * i) for i, f in enumerate(fields))
        np.testing.assert_array_equal(unpack(memoryview(packed), count, bits), fields)
