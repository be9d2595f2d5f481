"""How a cohort is cut into chunks: by its work alone, never by how many actors there are.

Clients in one chunk share its overhead and are trained as stacked tensors; chunks run side by side. So a round of small
nets is one chunk, which nobody has to wait for, and big nets give many (figures in benchmarks/speed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHUNK_MACS = 400e6
"""Multiply-accumulates that make a chunk worth sending to another process: some thirty milliseconds on one core."""
MOST_CHUNKS = 8
FEWEST_CLIENTS = 5
"""With fewer, stacking gains too little: LeNet-5 trains at 85 % of its best speed by fives, at 60 % by twos."""
MOST_CLIENTS = 128
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
        wanted = int(min(work / CHUNK_MACS, len(group) / FEWEST_CLIENTS, MOST_CHUNKS))
        # A power of two, as most machines have cores: three chunks would keep one of two waiting.
        pieces = max(1 << max(wanted.bit_length() - 1, 0), -(-len(group) // MOST_CLIENTS))
        chunks += np.array_split(group, pieces) if group.size else []
    return chunks
