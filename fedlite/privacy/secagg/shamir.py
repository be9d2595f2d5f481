"""Secrets of 32 bytes in shares of which any `threshold` find the secret again and fewer tell nothing about it.

A secret is cut into 9 limbs of 30 bits, and each limb is the value at 0 of a polynomial of its own with random
coefficients over the integers modulo 2^31 - 1. A share is the nine values at a point other than 0. Products of two such
numbers fit 64 bits, so that all shares of a secret are found in a few array operations.

References
----------
Shamir 1979, "How to share a secret".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.privacy.secagg.errors import ForgedShareError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PRIME: Final = 2**31 - 1
SECRET_BYTES: Final = 32
LIMB_BITS: Final = 30
LIMBS: Final = 9
_LIMB: Final = 2**LIMB_BITS


def split(secret: bytes, points: Sequence[int], threshold: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Return the shares of a secret at these points, shape (points, LIMBS).

    Parameters
    ----------
    secret : bytes
        `SECRET_BYTES` of them.
    points : sequence of int
        Distinct, from 1 to `PRIME - 1`.
    threshold : int
        Shares that find the secret again.
    rng : Generator
        Draws the coefficients.
    """
    coefficients = rng.integers(0, PRIME, (threshold - 1, LIMBS), dtype=np.uint64)
    at = np.asarray(points, np.uint64)[:, None]
    shares = np.zeros((len(points), LIMBS), np.uint64)
    for row in (*coefficients, _limbs(secret)):
        shares = (shares * at + row) % PRIME
    return shares


def combine(points: Sequence[int], shares: NDArray[Any]) -> bytes:
    """Return the secret of which there are as many shares as its threshold, shape (points, LIMBS).

    Raises
    ------
    ForgedShareError
        If the shares are of no secret. Some wrong shares are of another secret; who can tell must look.
    """
    if len(set(points)) != len(points):
        raise ForgedShareError(f"shares: got the points {list(points)}, expected each once; drop the round")
    weights = _weights_at_zero(np.asarray(points, np.uint64))[:, None]
    terms = weights * np.asarray(shares, np.uint64) % PRIME
    limbs = terms.sum(axis=0) % PRIME
    value = sum(limb << LIMB_BITS * place for place, limb in enumerate(limbs.tolist()))
    if (limbs >= _LIMB).any() or value >= 1 << 8 * SECRET_BYTES:
        raise ForgedShareError("shares: got some that are of no secret, expected those of one; drop the round")
    return int(value).to_bytes(SECRET_BYTES, "little")


def _limbs(secret: bytes) -> NDArray[np.uint64]:
    value = int.from_bytes(secret, "little")
    return np.array([value >> LIMB_BITS * place & (_LIMB - 1) for place in range(LIMBS)], np.uint64)


def _weights_at_zero(points: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return Lagrange's weights: the product over the other points x of x / (x - own)."""
    above = np.ones_like(points)
    below = np.ones_like(points)
    for point in points:
        others = points != point
        above = np.where(others, above * point % PRIME, above)
        below = np.where(others, below * ((point + np.uint64(PRIME) - points) % PRIME) % PRIME, below)
    inverse = np.array([pow(number, -1, PRIME) for number in below.tolist()], np.uint64)
    return above * inverse % PRIME
