"""How a cohort is cut into chunks: by the cohort alone, never by how many actors there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TARGET_CHUNKS = 4
"""Per plan and round: enough to keep a few actors busy, few enough that batching clients pays (benchmarks/speed)."""
MAX_CLIENTS = 64


def cut(groups: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Cut each group of job positions (one plan each) into runs of nearly equal length, in order."""
    chunks: list[NDArray[np.int64]] = []
    for group in groups:
        pieces = min(len(group), max(TARGET_CHUNKS, -(-len(group) // MAX_CLIENTS)))
        chunks += [piece for piece in np.array_split(group, pieces)] if pieces else []
    return chunks
