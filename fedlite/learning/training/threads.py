"""One torch thread while fedlite computes: the sum of a matrix product depends on how many threads share it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def single_thread() -> Iterator[None]:
    """Run the block with one torch thread and restore the caller's number afterwards.

    Results are then equal on every machine whatever its cores, and parallelism comes from chunks, not from kernels.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
