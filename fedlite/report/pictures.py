"""Pictures in a page: small ones, drawn as they are, without a script and without an imaging library.

References
----------
ISO/IEC 15948 (PNG), clauses 5 and 11.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.markup import Safe, tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GREY, _RGB = 0, 2
_SIDE: Final = 96
"""Pixels of the page that a picture is wide at least."""


def picture(values: NDArray[Any], low: float, high: float, alt: str) -> Safe | None:
    """Return an input as an image, `low` black and `high` white; None of what is no picture.

    Parameters
    ----------
    values : ndarray, shape (channels, height, width) or (height, width)
        Of one channel, or three.
    low, high : float
    alt : str
    """
    pixels = values[None] if values.ndim == 2 else values  # noqa: PLR2004 -- height and width
    if pixels.ndim != 3 or pixels.shape[0] not in {1, 3} or min(pixels.shape[1:]) < 2:  # noqa: PLR2004
        return None
    scaled = np.clip((pixels - low) / max(high - low, 1e-12), 0.0, 1.0)
    image = base64.b64encode(png(np.rint(255 * scaled).astype(np.uint8).transpose(1, 2, 0))).decode()
    style = f"image-rendering: pixelated; width: {max(_SIDE, pixels.shape[2])}px; height: auto"
    return tag("img", src=f"data:image/png;base64,{image}", alt=alt, style=style)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of 8-bit pixels, shape (height, width, 1 or 3), without filters."""
    height, width, channels = pixels.shape
    kind = _GREY if channels == 1 else _RGB
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
