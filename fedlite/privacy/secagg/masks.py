"""Masks: a key of 256 bits becomes numbers that nobody without the key can tell from uniform ones.

The numbers are words of ChaCha20's key stream, added to a vector with wrapping. A modulus that is a power of two
divides that of the words, so that the low bits of their sum are the sum of their low bits, and each is uniform.

References
----------
RFC 8439 (ChaCha20).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD_BYTES: Final = 4
_COUNTER_AND_NONCE: Final = bytes(16)
"""Zero: each key makes one mask."""


def words(key: bytes, length: int) -> NDArray[np.uint32]:
    """Return the mask of a key, `length` words of 32 bits."""
    stream = Cipher(ChaCha20(key, _COUNTER_AND_NONCE), mode=None).encryptor()
    return np.frombuffer(stream.update(_zeros(_WORD_BYTES * length)), "<u4")


def add(vector: NDArray[np.uint32], key: bytes) -> None:
    """Add the mask of a key to a vector, in place."""
    np.add(vector, words(key, vector.size), out=vector)


def subtract(vector: NDArray[np.uint32], key: bytes) -> None:
    """Take the mask of a key off a vector, in place."""
    np.subtract(vector, words(key, vector.size), out=vector)


def reduce(vector: NDArray[np.uint32], modulus_bits: int) -> None:
    """Bring a vector below `2**modulus_bits`, in place."""
    np.bitwise_and(vector, np.uint32(2**modulus_bits - 1), out=vector)


@lru_cache(maxsize=2)
def _zeros(count: int) -> bytes:
    return bytes(count)
