"""The course of training as the server can see it: mean loss of a round's clients, and what their updates took.

The clients of round r + 1 begin with the model that the updates of round r have made: what the loss falls from one to
the next is what the plans of round r have brought.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.client.choosers.base import Ended


class Course:
    """Sums over the jobs that arrived, round by round."""

    def __init__(self) -> None:
        self._loss: dict[int, tuple[float, float]] = {}
        self._bytes: defaultdict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._told = -1

    def add(self, ended: Ended) -> None:
        """Count jobs that are over; those that took no step have no loss."""
        counted = ended.arrived & np.isfinite(ended.loss) & (ended.examples > 0)
        weights = ended.examples[counted].astype(np.float64)
        if counted.any():
            total, weight = self._loss.get(ended.round_, (0.0, 0.0))
            loss = total + float(weights @ ended.loss[counted]), weight + float(weights.sum())
            self._loss[ended.round_] = loss
        for arm in np.unique(ended.arms[ended.arrived]).tolist():
            mine = ended.arrived & (ended.arms == arm)
            sums = self._bytes[ended.round_, arm]
            sums[0] += float(ended.up_bytes[mine].sum())
            sums[1] += float(ended.raw_bytes[mine].sum())

    def closed(self, before: int) -> Iterator[tuple[int, float]]:
        """Return (round, mean loss) of each round before that one which was not told yet and of which some arrived."""
        for round_ in sorted(number for number in self._loss if self._told < number < before):
            self._told = round_
            total, weight = self._loss[round_]
            yield round_, total / weight

    def share(self, round_: int, arm: int) -> float | None:
        """Return what the updates of an arm in a round took of their bytes uncompressed; None if none arrived."""
        sent, raw = self._bytes.get((round_, arm), (0.0, 0.0))
        return sent / raw if raw else None


def reward(before: float, after: float, share: float) -> float:
    """Return the share of the loss that a round took away, for each update uncompressed that it sent."""
    return (before - after) / before / share if before > 0 else 0.0
