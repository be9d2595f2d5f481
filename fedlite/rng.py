"""Named random streams: randomness is an argument, and adding a device never shifts another's dice.

Two forms of one idea. `stream` gives a numpy Generator to code that draws many numbers for one owner. `uniform` and
`normal` give one number per (owner, counter) for whole arrays of owners at once, as pure functions: asking twice, in
another order or for other owners changes nothing. `uniforms` and `normals` do so for many streams at once.

References
----------
Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (the SplitMix64 finaliser).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Key = int | str

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def seed_of(seed: int, *keys: Key) -> int:
    """Return the 64-bit seed of the stream named by `keys`. Keys 1 and "1" name different streams."""
    return int.from_bytes(hashlib.blake2b(_text(seed, keys).encode(), digest_size=8).digest(), "little")


def _text(seed: int, keys: Sequence[Key]) -> str:
    return "\x1f".join([str(int(seed)), *(f"{type(key).__name__}:{key}" for key in keys)])


def seeds_of(seed: int, *keys: Key, names: Sequence[str]) -> NDArray[np.uint64]:
    """Return `seed_of(seed, *keys, name)` of every name, shape (n,): what they have in common is hashed once."""
    begun = hashlib.blake2b(_text(seed, keys).encode(), digest_size=8)
    digests = []
    for name in names:
        state = begun.copy()
        state.update(f"\x1fstr:{name}".encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def stream(seed: int, *keys: Key) -> np.random.Generator:
    """Return the generator of the stream named by `keys`, such as `stream(7, "batches", device, round)`."""
    return np.random.Generator(np.random.Philox(key=seed_of(seed, *keys)))


def uniform(seed: int, purpose: str, owner: NDArray[Any] | int, counter: NDArray[Any] | int = 0) -> NDArray[np.float64]:
    """Return one number in [0, 1) per (owner, counter), broadcast against each other; a pure function."""
    return uniforms(np.uint64(_purpose_seed(seed, purpose)), owner, counter)


def uniforms(
    seeds: NDArray[np.uint64] | np.uint64, owner: NDArray[Any] | int, counter: NDArray[Any] | int = 0
) -> NDArray[np.float64]:
    """Return what `uniform` does, of the streams with these seeds (`seed_of`), broadcast against the other two."""
    bits = _mix(_mix(_as_u64(owner) * _GAMMA + seeds) + _as_u64(counter) * _GAMMA)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def normal(seed: int, purpose: str, owner: NDArray[Any] | int, counter: NDArray[Any] | int = 0) -> NDArray[np.float64]:
    """Return one standard normal number per (owner, counter) by the Box-Muller transform; a pure function."""
    radius, angle = (np.uint64(own) for own in normal_seeds(seed, purpose))
    return _box_muller(uniforms(radius, owner, counter), uniforms(angle, owner, counter))


def normal_seeds(seed: int, purpose: str) -> tuple[int, int]:
    """Return the seeds of the two streams behind `normal`, as `normals` takes them."""
    return _purpose_seed(seed, f"{purpose}/radius"), _purpose_seed(seed, f"{purpose}/angle")


# A campaign asks for few purposes, millions of times.
_purpose_seed = lru_cache(maxsize=256)(seed_of)


def normals(
    seeds: NDArray[np.uint64], owner: NDArray[Any] | int, counter: NDArray[Any] | int = 0
) -> NDArray[np.float64]:
    """Return what `normal` does, of streams with these `normal_seeds`, shape (2, ...), broadcast as in `uniforms`."""
    return _box_muller(*uniforms(seeds, owner, counter))


def _box_muller(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle))


def _as_u64(value: NDArray[Any] | int) -> NDArray[np.uint64]:
    # atleast_1d keeps numpy in array arithmetic, where wrapping on overflow is silent and intended.
    return np.atleast_1d(np.asarray(value)).astype(np.int64).astype(np.uint64)


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))
