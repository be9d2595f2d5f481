"""Entropy coding of symbols by a table that is sent along: as short as their frequencies allow.

Where a packet ends with packed integers (int4, sign, kmeans), these are the symbols, of whatever width; what precedes
them, or a payload without any, is coded byte by byte, a table for each block. Symbols are taken as independent: runs of
zeros in whole bytes are zstd's business.

References
----------
Duda 2009, "Asymmetric numeral systems" (the coder). Bamler 2022, "Understanding Entropy Coding With Asymmetric Numeral
Systems (ANS): a Statistician's Perspective" (constriction, which computes it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from constriction import stream

from fedlite.wire import varint
from fedlite.wire.bits import pack, packed_bytes, unpack
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.base import Fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RAW, _CODED = 0, 1
_BYTE = 8
_BLOCK: Final = 2**16
"""Bytes with a table of their own, and symbols decoded at a time."""
_WORD_BYTES = 4
_WORTH_IT: Final = 0.991
"""Share of its length that a block of bytes may be left with: within a percent of its entropy, and mantissas of floats,
which take long and give nothing, stay as they are."""
_BROKEN: Final = "corrupt packet: range-coded content that no sender makes; send the packet again"


def _frequencies() -> NDArray[np.int64]:
    """Return what a byte of a table says: 0 to 7, then floats of four leading bits, within a sixteenth of any count."""
    return np.array([*range(8), *((8 + code % 8) << (code // 8) for code in range(248))], np.int64)


_FREQUENCIES: Final = _frequencies()


@dataclass(frozen=True)
class Range:
    """Entropy coding with a sent table of a byte a symbol; blocks that it would not make shorter stay as they are."""

    text: str = "range"

    @classmethod
    def parse(cls, argument: str | None) -> Range:
        """Return the stage of "range"."""
        if argument is not None:
            raise CodecError(f"range: got an argument {argument!r}, expected none; write 'range'")
        return cls()

    def compress(self, payload: bytes) -> bytes:
        """Return the blocks of bytes, coded."""
        return self.compress_fields(payload, Fields())

    def compress_fields(self, payload: bytes, fields: Fields) -> bytes:
        """Return the blocks of bytes before the fields, and the fields as one block."""
        cut = len(payload) - packed_bytes(fields.count, fields.bits)
        head = np.frombuffer(payload[:cut], np.uint8)
        parts = [varint.put(cut), varint.put(fields.count), bytes([fields.bits])]
        parts += [_coded(head[first : first + _BLOCK], _BYTE, _WORTH_IT) for first in range(0, cut, _BLOCK)]
        if fields.count:
            parts.append(_coded(unpack(memoryview(payload)[cut:], fields.count, fields.bits), fields.bits))
        return b"".join(parts)

    def decompress(self, payload: memoryview, limit: int) -> bytes:
        """Return the original bytes."""
        reader = varint.Reader(payload)
        cut, count, bits = reader.varint(), reader.varint(), reader.take(1)[0]
        size = cut + packed_bytes(count, bits)
        if not 1 <= bits <= _BYTE or size > limit:
            raise WireError(f"corrupt packet: content of {size} bytes, expected 0 to {limit}; send the packet again")
        parts = [_decoded(reader, min(_BLOCK, cut - first), _BYTE) for first in range(0, cut, _BLOCK)]
        if count:
            parts.append(_decoded(reader, count, bits))
        if reader.left:
            raise WireError(_BROKEN)
        return b"".join(parts)


def _coded(symbols: NDArray[np.uint8], bits: int, most: float = 1.0) -> bytes:
    """Return one block: its kind, and for a coded one the first and last symbol, their table and the code.

    It is coded if that leaves `most` of its length.
    """
    counts = np.bincount(symbols, minlength=2**bits)
    present = np.flatnonzero(counts)
    first, last = int(present[0]), int(present[-1])
    codes = np.searchsorted((_FREQUENCIES[1:] + _FREQUENCIES[:-1]) / 2, counts[first : last + 1], side="right")
    table = np.maximum(codes, counts[first : last + 1] > 0).astype(np.uint8)
    share = counts[present] / symbols.size
    length = table.size - float((counts[present] * np.log2(share)).sum()) / _BYTE
    if length >= most * packed_bytes(symbols.size, bits):
        return bytes([_RAW]) + pack(symbols, bits)
    words = b""
    if first < last:
        coder = stream.stack.AnsCoder()
        coder.encode_reverse((symbols - np.uint8(first)).astype(np.int32), _model(table))
        words = coder.get_compressed().astype("<u4").tobytes()
    head = bytes([_CODED, first, last]) + table.tobytes() + varint.put(len(words) // _WORD_BYTES)
    return head + words


def _decoded(reader: varint.Reader, count: int, bits: int) -> bytes:
    """Return the packed symbols of one block."""
    kind = reader.take(1)[0]
    if kind == _RAW:
        return bytes(reader.take(packed_bytes(count, bits)))
    first, last = reader.take(2)
    if kind != _CODED or not first <= last < 2**bits:
        raise WireError(_BROKEN)
    codes = np.frombuffer(reader.take(last - first + 1), np.uint8)
    words = np.frombuffer(reader.take(_WORD_BYTES * reader.varint()), "<u4").astype(np.uint32)
    if not codes[0] or not codes[-1]:
        raise WireError(_BROKEN)
    return b"".join(_steps(words, codes, first, count, bits))


def _steps(words: NDArray[np.uint32], codes: NDArray[np.uint8], first: int, count: int, bits: int) -> list[bytes]:
    """Return the packed symbols of some at a time, so that decoding holds little more than what it gives."""
    sizes = [min(_BLOCK, count - done) for done in range(0, count, _BLOCK)]
    if codes.size == 1:
        if words.size:
            raise WireError(_BROKEN)
        return [pack(np.full(size, first, np.uint8), bits) for size in sizes]
    try:
        coder = stream.stack.AnsCoder(words)
    except ValueError as error:  # no code ends with a word of zeros
        raise WireError(_BROKEN) from error
    model = _model(codes)
    packed = [pack(coder.decode(model, size).astype(np.uint8) + np.uint8(first), bits) for size in sizes]
    if not coder.is_empty():
        raise WireError(_BROKEN)
    return packed


def _model(codes: NDArray[np.uint8]) -> Any:
    return stream.model.Categorical(_FREQUENCIES[codes].astype(np.float64), perfect=False)
