import math

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire.errors import WireError
from fedlite.wire.positions import most_bytes, pack, unpack
from fedlite.wire.varint import Reader


def back(packed, count):
    reader = Reader(memoryview(packed))
    positions = unpack(reader, count)
    assert reader.left == 0
    return positions.tolist()


@pytest.mark.parametrize(
    ("positions", "count"),
    [
        ([], 0),
        ([], 9),
        ([0], 1),
        ([0], 1000),
        ([999], 1000),
        ([0, 999], 1000),
        (list(range(0, 99, 2)), 99),
        (list(range(8)), 8),
    ],
)
def test_positions_read_back(positions, count):
    packed = pack(np.array(positions, np.int64), count)
    assert back(packed, count) == positions
    assert len(packed) <= most_bytes(len(positions), count)


@pytest.mark.parametrize("density", [0.001, 0.01, 0.1, 0.3])
def test_random_positions_take_within_four_percent_of_their_entropy(density):
    count = 200_000
    positions = np.flatnonzero(stream(1, "density").random(count) < density)
    share = positions.size / count
    entropy_bytes = count * (-share * math.log2(share) - (1 - share) * math.log2(1 - share)) / 8
    packed = pack(positions, count)
    assert entropy_bytes <= len(packed) <= 1.04 * entropy_bytes + 10
    assert back(packed, count) == positions.tolist()


def test_the_shorter_of_bitmap_and_rice_code_is_taken():
    count = 10_000
    half = np.flatnonzero(stream(1, "half").random(count) < 0.5)
    assert len(pack(half, count)) == 1 + 2 + count // 8
    assert len(pack(np.array([17]), count)) < 10


def test_a_rice_code_is_what_the_definition_says():
    """Gaps 4, 0, 9 with parameter 2: remainders 0, 0, 1 in two bits each, then quotients 1, 0, 2 in unary."""
    packed = pack(np.array([4, 5, 15]), 1000)
    kind, kept, width = packed[:3]
    assert (kind, kept) == (2, 3)
    gaps, remainders, unary = [4, 0, 9], 0, ""
    for place, gap in enumerate(gaps):
        remainders |= (gap & ((1 << width) - 1)) << width * place
        unary += "0" * (gap >> width) + "1"
    stream_bytes = int(unary[::-1], 2).to_bytes(math.ceil(len(unary) / 8), "little")
    assert (
        packed[3:]
        == bytes([len(stream_bytes)]) + remainders.to_bytes(math.ceil(3 * width / 8), "little") + stream_bytes
    )


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"\x07\x01", "unknown kind"),
        (b"\x02\x65", "101 positions among 100"),
        (b"\x01\x03" + b"\0" * 13, "do not fit 3 of 100"),
        (b"\x02\x01\x20\x01\x01", "Rice parameter of 32"),
        (b"\x02\x02\x00\x01\x01", "1 gaps where 2"),
        (b"\x02\x01\x07\x01\x7f\x01\x01", "do not fit|gaps where"),
        (b"\x02\x01\x03", "truncated"),
    ],
)
def test_damaged_positions_are_refused(packed, message):
    with pytest.raises(WireError, match=message):
        unpack(Reader(memoryview(packed)), 100)
