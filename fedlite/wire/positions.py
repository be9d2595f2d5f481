"""Increasing positions as bytes: a bitmap, or Rice-coded gaps, whichever is shorter.

References
----------
Rice, Plaunt 1971, "Adaptive Variable-Length Coding for Efficient Compression of Spacecraft Television Data";
optimal for geometric gaps, which is what independently chosen positions have.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.wire import varint
from fedlite.wire.bits import pack_wide, packed_bytes, unpack_wide
from fedlite.wire.errors import CodecError, WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALL, _BITMAP, _RICE = 0, 1, 2
_WIDEST = 31


def pack(positions: NDArray[Any], count: int) -> bytes:
    """Return the bytes of increasing positions below `count`: one byte of kind, the number of positions, the code."""
    kept = int(positions.size)
    if kept == count and (positions == np.arange(count)).all():
        return bytes([_ALL])
    gaps = np.diff(positions, prepend=-1) - 1
    if kept and (gaps.min() < 0 or positions[-1] >= count):
        raise CodecError(f"sparsifier: got positions that do not increase from 0 to {count - 1}; mend its select")
    head = varint.put(kept)
    if not kept:
        return bytes([_RICE, *head])
    width, length = _best_width(gaps)
    if length >= packed_bytes(count, 1):
        bitmap = np.zeros(count, np.bool_)
        bitmap[positions] = True
        return bytes([_BITMAP, *head]) + np.packbits(bitmap, bitorder="little").tobytes()
    ends = np.cumsum((gaps >> width) + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1, np.bool_)
    unary[ends] = True  # each quotient q is q zeros and a one
    stream = np.packbits(unary, bitorder="little").tobytes()
    remainders = pack_wide(gaps & ((1 << width) - 1), width) if width else b""
    return b"".join((bytes([_RICE, *head, width]), varint.put(len(stream)), remainders, stream))


def most_bytes(kept: int, count: int) -> int:
    """Return the largest length that `pack` can give for `kept` of `count` positions."""
    return 1 + len(varint.put(kept)) + 1 + len(varint.put(packed_bytes(count, 1))) + packed_bytes(count, 1)


def unpack(reader: varint.Reader, count: int) -> NDArray[np.int64]:
    """Return the positions; the inverse of `pack`."""
    kind = reader.take(1)[0]
    if kind == _ALL:
        return np.arange(count)
    kept = reader.varint()
    if kept > count:
        raise WireError(f"corrupt packet: {kept} positions among {count} values; send the packet again")
    if kind == _BITMAP:
        bitmap = np.frombuffer(reader.take(packed_bytes(count, 1)), np.uint8)
        positions = np.flatnonzero(np.unpackbits(bitmap, count=count, bitorder="little"))
    elif kind == _RICE:
        positions = _unpack_rice(reader, kept) if kept else np.zeros(0, np.int64)
    else:
        raise WireError(f"corrupt packet: unknown kind of positions {kind}; send the packet again")
    if positions.size != kept or (kept and positions[-1] >= count):
        raise WireError(f"corrupt packet: the positions do not fit {kept} of {count} values; send the packet again")
    return positions


def _unpack_rice(reader: varint.Reader, kept: int) -> NDArray[np.int64]:
    width = reader.take(1)[0]
    length = reader.varint()
    if width > _WIDEST:
        raise WireError(f"corrupt packet: a Rice parameter of {width}; send the packet again")
    remainders = unpack_wide(reader.take(packed_bytes(kept, width)), kept, width) if width else 0
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(reader.take(length), np.uint8), bitorder="little"))
    if ends.size != kept:
        raise WireError(f"corrupt packet: {ends.size} gaps where {kept} were announced; send the packet again")
    quotients = np.diff(ends, prepend=-1) - 1
    return np.asarray(np.cumsum((quotients << width) + remainders + 1) - 1)


def _best_width(gaps: NDArray[Any]) -> tuple[int, int]:
    """Return the Rice parameter with the shortest code, and that code's length in bytes."""
    # The optimum for a geometric distribution is close to log2(mean * ln 2); its neighbours are tried exactly.
    middle = max(0, round(math.log2(max(1.0, float(gaps.mean()) * math.log(2)))))
    lengths = {
        width: packed_bytes(int((gaps >> width).sum()) + gaps.size, 1) + packed_bytes(gaps.size, width)
        for width in range(max(0, middle - 1), min(_WIDEST, middle + 2) + 1)
    }
    best = min(lengths, key=lambda width: (lengths[width], width))
    return best, lengths[best]
