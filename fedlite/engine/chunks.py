"""How a cohort is cut into chunks: by its work alone, never by how many actors there are.

Clients in one chunk share its overhead and are trained as stacked tensors; chunks run side by side. So small nets get
few large chunks and big nets many small ones (figures in benchmarks/speed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHUNK_MACS = 32e6
"""Multiply-accumulates that make a chunk worth its overhead: some ten milliseconds on one core."""
FEWEST_CHUNKS = 2
MOST_CHUNKS = 8
FEWEST_CLIENTS = 4
"""Below this, stacking clients no longer pays."""
MOST_CLIENTS = 64
"""Bounds the memory of a chunk."""


def cut(groups: Sequence[NDArray[np.int64]], macs: Sequence[float] | None = None) -> list[NDArray[np.int64]]:
    """Cut each group of job positions (one plan each) into runs of nearly equal length, in order.

    Parameters
    ----------
    groups : sequence of ndarray
        Positions of the jobs in the batch.
    macs : sequence of float
        Multiply-accumulates of all jobs of each group together; much, if not given.
    """
    chunks: list[NDArray[np.int64]] = []
    works = [np.inf] * len(groups) if macs is None else macs
    for group, work in zip(groups, works, strict=True):
        wanted = int(np.clip(work / CHUNK_MACS, FEWEST_CHUNKS, MOST_CHUNKS))
        pieces = max(min(wanted, -(-len(group) // FEWEST_CLIENTS)), -(-len(group) // MOST_CLIENTS))
        chunks += np.array_split(group, pieces) if pieces else []
    return chunks
