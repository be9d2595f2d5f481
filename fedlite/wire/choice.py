"""The choice of a sparsifier in a packet: as positions, or as the seed that they follow from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.wire import positions
from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.sparsifiers.base import Seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats
    from fedlite.wire.sparsifiers.base import Sparsifier
    from fedlite.wire.varint import Reader

_SEED_BYTES: Final = 8


def made(
    sparsifier: Sparsifier, text: str, values: Floats, rng: np.random.Generator | None
) -> tuple[NDArray[np.int64], bytes]:
    """Return the positions of the values to send, and the bytes that tell them; errors call the codec by `text`."""
    seed = None
    if isinstance(sparsifier, Seeded):
        if rng is None:
            raise WireError(f"{text}: the choice is random, got no generator; pass rng=fedlite.rng.stream(seed, ...)")
        seed = rng.bytes(_SEED_BYTES)
        sparsifier = _with_seed(sparsifier, seed)
    kept = sparsifier.select(values)
    if kept.size > sparsifier.most(values.size):
        raise CodecError(
            f"{text}: got {kept.size} positions from select, expected at most the "
            f"{sparsifier.most(values.size)} of most; mend the sparsifier"
        )
    return kept, positions.pack(kept, values.size) if seed is None else seed


def read(sparsifier: Sparsifier, reader: Reader, count: int) -> NDArray[np.int64]:
    """Return the positions among `count` values that the bytes of `made` tell."""
    if not isinstance(sparsifier, Seeded):
        return positions.unpack(reader, count)
    # The choice sees the number of values only: one zero that looks like so many.
    return _with_seed(sparsifier, bytes(reader.take(_SEED_BYTES))).select(np.broadcast_to(np.float32(0), (count,)))


def most_bytes(sparsifier: Sparsifier, count: int) -> int:
    """Return the largest length of the bytes of `made`."""
    return _SEED_BYTES if isinstance(sparsifier, Seeded) else positions.most_bytes(sparsifier.most(count), count)


def amplified(sparsifier: Sparsifier, values: Floats, count: int) -> Floats:
    """Return the kept of `count` values as the receiver reads them; beyond float32 is its largest value."""
    if not isinstance(sparsifier, Seeded):
        return values
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        return np.asarray(np.clip(values * np.float32(sparsifier.gain(count)), -largest, largest))


def _with_seed(sparsifier: Seeded, seed: bytes) -> Sparsifier:
    return sparsifier.seeded(int.from_bytes(seed, "little"))
