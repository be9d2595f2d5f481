"""The difference of two packets of one layout, exact to the bit: what a device needs that holds the older one.

Both packets are cut into words of 1, 2 or 4 bytes from their end, where the numbers stand; the words are subtracted,
small differences of either sign become small numbers, and what is left goes through Zstandard, byte by byte of the
words. All three widths are tried. Numbers that moved little, rounded alike, differ in their low bits only.

Layout: magic (2 bytes), version (1), width (1), CRC-32 of the older packet (4), one Zstandard frame.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.wire.errors import WireError
from fedlite.wire.lossless.zstd import Zstd
from fedlite.wire.shuffle import shuffle, unshuffle

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC: Final = b"\xf5D"
VERSION: Final = 1
_HEAD_BYTES: Final = 8
_WORDS: Final[dict[int, str]] = {1: "u1", 2: "<u2", 4: "<u4"}


def encode_delta(packet: bytes, held: bytes) -> bytes:
    """Return what makes `packet` out of `held`.

    Parameters
    ----------
    packet : bytes
        The newer packet.
    held : bytes
        The older one, which the receiver has.

    Raises
    ------
    WireError
        If they are not equally long, as packets of one layout without a sparsifier or a lossless stage are.
    """
    if len(packet) != len(held):
        raise WireError(f"difference: got packets of {len(packet)} and {len(held)} bytes, expected one layout")
    bodies = {width: _body(packet, held, width) for width in _WORDS}
    width = min(bodies, key=lambda one: len(bodies[one]))
    return b"".join((MAGIC, bytes([VERSION, width]), zlib.crc32(held).to_bytes(4, "little"), bodies[width]))


def decode_delta(delta: bytes, held: bytes) -> bytes:
    """Return the packet that `encode_delta` was given; its own checksum says whether it is sound.

    Raises
    ------
    WireError
        If the buffer is truncated, corrupt or no difference, or was made for another packet than `held`.
    """
    if len(delta) < _HEAD_BYTES or delta[:2] != MAGIC or delta[2] != VERSION or delta[3] not in _WORDS:
        raise WireError("corrupt difference: its first bytes are of none; send the whole model")
    if int.from_bytes(delta[4:_HEAD_BYTES], "little") != zlib.crc32(held):
        raise WireError("difference: made for another version than this device holds; send the whole model")
    width = delta[3]
    body = Zstd().decompress(memoryview(delta)[_HEAD_BYTES:], len(held))
    if len(body) != len(held):
        raise WireError(f"corrupt difference: {len(body)} bytes, expected {len(held)}; send the whole model")
    odd = len(held) % width
    first = _words(held[:odd], 1) + _unfolded(_words(body[:odd], 1))
    rest = _words(held[odd:], width) + _unfolded(_words(unshuffle(memoryview(body)[odd:], width), width))
    return b"".join((first.tobytes(), rest.tobytes()))


def _body(packet: bytes, held: bytes, width: int) -> bytes:
    odd = len(packet) % width
    first = _folded(_words(packet[:odd], 1) - _words(held[:odd], 1))
    rest = _folded(_words(packet[odd:], width) - _words(held[odd:], width))
    return Zstd().compress(first.tobytes() + shuffle(rest.tobytes(), width))


def _words(raw: bytes, width: int) -> NDArray[Any]:
    return np.frombuffer(raw, _WORDS[width])


def _folded(difference: NDArray[Any]) -> NDArray[Any]:
    """Return differences, modulo the word, with their sign as the lowest bit."""
    bits = 8 * difference.itemsize
    signed = difference.view(f"<i{difference.itemsize}")
    return np.asarray((difference << 1) ^ (signed >> (bits - 1)).view(difference.dtype))


def _unfolded(folded: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((folded >> 1) ^ (~(folded & 1) + 1).astype(folded.dtype))
