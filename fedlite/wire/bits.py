"""Packing small unsigned integers into bytes: `ceil(bits * count / 8)` bytes, the first field in the low bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.wire.errors import WireError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTE = 8
_WORD = 32


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes that `count` fields of `bits` bits take."""
    return -(-count * bits // _BYTE)


def pack(fields: NDArray[np.uint8], bits: int) -> bytes:
    """Pack fields of 1, 2, 4 or 8 bits. Values must be below `2**bits`."""
    if bits == _BYTE:
        return fields.tobytes()
    if bits == 1:
        return np.packbits(fields, bitorder="little").tobytes()
    per_byte = _BYTE // bits
    missing = -fields.size % per_byte
    if missing:
        fields = np.concatenate((fields, np.zeros(missing, np.uint8)))
    packed = fields[0::per_byte].copy()
    for place in range(1, per_byte):
        packed |= fields[place::per_byte] << np.uint8(bits * place)
    return packed.tobytes()


def unpack(buffer: memoryview, count: int, bits: int) -> NDArray[np.uint8]:
    """Return `count` fields of 1, 2, 4 or 8 bits; the inverse of `pack`."""
    packed = _expect(buffer, count, bits)
    if bits == _BYTE:
        return packed
    if bits == 1:
        return np.unpackbits(packed, count=count, bitorder="little")
    per_byte = _BYTE // bits
    fields = np.empty(packed.size * per_byte, np.uint8)
    for place in range(per_byte):
        fields[place::per_byte] = packed >> np.uint8(bits * place)
    fields &= np.uint8(2**bits - 1)
    return fields[:count]


def pack_wide(values: NDArray[Any], bits: int) -> bytes:
    """Pack integers of 0 to 32 bits, for fields that do not divide a byte."""
    columns = np.unpackbits(values.astype("<u4").view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    return np.packbits(columns[:, :bits], bitorder="little").tobytes()


def unpack_wide(buffer: memoryview, count: int, bits: int) -> NDArray[np.int64]:
    """Return `count` integers of 0 to 32 bits; the inverse of `pack_wide`."""
    packed = _expect(buffer, count, bits)
    columns = np.zeros((count, _WORD), np.uint8)
    columns[:, :bits] = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    return np.packbits(columns, axis=1, bitorder="little").view("<u4").reshape(-1).astype(np.int64)


def _expect(buffer: memoryview, count: int, bits: int) -> NDArray[np.uint8]:
    wanted = packed_bytes(count, bits)
    if len(buffer) != wanted:
        raise WireError(
            f"corrupt packet: {count} fields of {bits} bits take {wanted} bytes, got {len(buffer)}; send it again"
        )
    return np.frombuffer(buffer, np.uint8)
