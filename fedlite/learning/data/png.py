"""A small PNG decoder, enough for 8-bit RGB pictures, so that no imaging library is needed.

The filters of PNG make a pixel depend on its left, upper and upper-left neighbours. Pixels on one antidiagonal do not
depend on each other, so the picture is decoded one antidiagonal at a time, each in a few numpy calls.

References
----------
ISO/IEC 15948 (PNG), clause 9, filtering.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.data.dataset import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = 3
_RGB_8_BIT = (8, 2, 0, 0, 0)
"""Bit depth, colour type, compression, filter method, interlace."""
_SUB, _UP, _AVERAGE, _PAETH = 1, 2, 3, 4


def decode_png(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the pixels of an 8-bit RGB picture that is not interlaced, shape (height, width, 3).

    Raises
    ------
    DatasetError
        If it is no such PNG, a checksum differs, or data is missing.
    """
    if not data.startswith(_SIGNATURE):
        raise DatasetError(f"{name}: got {data[:8].hex() or 'an empty file'}, expected a PNG; fetch it again")
    header, body = b"", []
    for kind, content in _chunks(data, name):
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            body.append(content)
    width, height, *form = struct.unpack(">IIBBBBB", header) if len(header) == 13 else (0, 0)  # noqa: PLR2004
    if tuple(form) != _RGB_8_BIT:
        raise DatasetError(f"{name}: got a PNG with header {header.hex()}, expected 8-bit RGB without interlace")
    try:
        raw = np.frombuffer(zlib.decompress(b"".join(body)), dtype=np.uint8)
    except zlib.error as error:
        raise DatasetError(f"{name}: got a damaged PNG ({error}); fetch it again") from error
    if raw.size != height * (1 + _CHANNELS * width):
        raise DatasetError(f"{name}: got {raw.size} bytes for {height} x {width} pixels; the picture is cut short")
    lines = raw.reshape(height, 1 + _CHANNELS * width)
    return _unfilter(lines[:, 0], lines[:, 1:].reshape(height, width, _CHANNELS), name)


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    offset = len(_SIGNATURE)
    while offset + 12 <= len(data):
        (length,) = struct.unpack(">I", data[offset : offset + 4])
        kind, content = data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        checksum = data[offset + 8 + length : offset + 12 + length]
        if checksum != struct.pack(">I", zlib.crc32(kind + content)):
            raise DatasetError(f"{name}: got a wrong checksum in chunk {kind!r}; fetch it again")
        yield kind, content
        offset += 12 + length


def _unfilter(filters: NDArray[np.uint8], residual: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if filters.max(initial=0) > _PAETH:
        raise DatasetError(f"{name}: got PNG filter {filters.max()}, expected 0 to {_PAETH}; fetch it again")
    height, width, _ = residual.shape
    # One row and one column of zeros on the top and left stand for the neighbours outside of the picture.
    padded = np.zeros((height + 1, width + 1, _CHANNELS), dtype=np.int16)
    padded[1:, 1:] = residual
    pixels = padded.reshape(-1, _CHANNELS)
    line = width + 1
    for diagonal in range(height + width - 1):
        first, last = max(0, diagonal - width + 1), min(height - 1, diagonal)
        start = (first + 1) * line + (diagonal - first) + 1
        stop = start + (last - first) * width + 1  # a step of `width` goes one down and one to the left

        left, up, corner = (pixels[start - back : stop - back : width] for back in (1, line, line + 1))
        here = pixels[start:stop:width]
        here += _prediction(filters[first : last + 1, None], left, up, corner)
        here &= 0xFF
    return padded[1:, 1:].astype(np.uint8)


def _prediction(
    filters: NDArray[np.uint8], left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    estimate = left + up - corner
    to_left, to_up, to_corner = np.abs(estimate - left), np.abs(estimate - up), np.abs(estimate - corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
    choices = [left, up, (left + up) >> 1, paeth]
    return np.select([filters == kind for kind in (_SUB, _UP, _AVERAGE, _PAETH)], choices, np.int16(0))
