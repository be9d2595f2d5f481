"""Initial weights from a seed, without touching torch's global random state."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from fedlite.rng import seed_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(seed: int, *keys: str) -> Iterator[None]:
    """Run a block on the random stream named by (seed, keys), and put torch's own CPU stream back afterwards.

    Layers initialise themselves from torch's default generator and take no other, so it is lent, not replaced.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed, *keys))
        yield
