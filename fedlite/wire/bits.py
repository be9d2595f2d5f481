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
    """Pack fields of 1 to 8 bits. Values must be below `2**bits`."""
    if bits == _BYTE:
        return fields.tobytes()
    if bits == 1:
        return np.packbits(fields, bitorder="little").tobytes()
    together = _BYTE if _BYTE % bits else _BYTE // bits  # fields that fill whole bytes
    count, missing = fields.size, -fields.size % together
    if missing:
        fields = np.concatenate((fields, np.zeros(missing, np.uint8)))
    if _BYTE % bits == 0:
        packed = fields[0::together].copy()
        for place in range(1, together):
            packed |= fields[place::together] << np.uint8(bits * place)
        return packed.tobytes()
    words = fields[0::together].astype("<u8")
    for place in range(1, together):
        words |= fields[place::together].astype("<u8") << np.uint64(bits * place)
    return words.view(np.uint8).reshape(-1, _BYTE)[:, :bits].tobytes()[: packed_bytes(count, bits)]


def unpack(buffer: memoryview, count: int, bits: int) -> NDArray[np.uint8]:
    """Return `count` fields of 1 to 8 bits; the inverse of `pack`."""
    packed = _expect(buffer, count, bits)
    if bits == _BYTE:
        return packed
    if bits == 1:
        return np.unpackbits(packed, count=count, bitorder="little")
    together = _BYTE if _BYTE % bits else _BYTE // bits
    if _BYTE % bits == 0:
        source: NDArray[Any] = packed
    else:
        source = np.zeros((-(-count // together), _BYTE), np.uint8)
        whole = np.zeros(source.shape[0] * bits, np.uint8)
        whole[: packed.size] = packed
        source[:, :bits] = whole.reshape(-1, bits)
        source = source.view("<u8").reshape(-1)
    fields = np.empty(source.size * together, np.uint8)
    for place in range(together):
        fields[place::together] = (source >> source.dtype.type(bits * place)).astype(np.uint8)
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
