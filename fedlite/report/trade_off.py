"""Which settings of a study nobody beats at a gain and a cost, as far as its seeds can tell.

A setting is off the front if another is at least as good for at most the cost and the seeds tell them apart, or if the
seeds do not tell that it is better than one on the front that costs at least a tenth less. From single runs, whose
noise nobody knows, means alone decide.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Final

from fedlite.report import measure
from fedlite.report.noise import FEWEST, Difference, all_told_apart, paired

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from fedlite.learning.objectives import Metric

MUCH_CHEAPER: Final = 0.9
"""Share of a cost up to which another is much less."""

Values = dict[str, dict[int, float]]
"""Setting -> seed -> value."""


class TradeOffs:
    """The settings of a study against each other.

    Parameters
    ----------
    rows : DataFrame
        One row per run: label, seed, the metric, costs.
    metric : Metric
        By which settings are compared.
    """

    def __init__(self, rows: pl.DataFrame, metric: Metric) -> None:
        self._rows, self.metric = rows, metric
        signed = measure.gains(metric, rows[metric.name].to_list())
        self._gains = self._by_setting([math.nan if value is None else value for value in signed])

    @property
    def labels(self) -> list[str]:
        """The settings that were tested, in the study's order."""
        return [label for label, values in self._gains.items() if values]

    @cached_property
    def leader(self) -> str | None:
        """The setting with the best mean; None if none was tested."""
        return max(self.labels, key=lambda label: _mean(self._gains[label]), default=None)

    @property
    def best(self) -> str | None:
        """The setting that is better than all others, told apart from all of them at once; None if there is none."""
        if self.leader is None:
            return None
        others = [self.better(self.leader, label) for label in self.labels if label != self.leader]
        return self.leader if others and all_told_apart(others) else None

    @property
    def level_with_leader(self) -> list[str]:
        """The settings that are not told apart from the one with the best mean, each by itself."""
        if self.leader is None:
            return []
        others = [label for label in self.labels if label != self.leader]
        return [label for label in others if not self.better(self.leader, label).is_told_apart]

    def better(self, label: str, than: str) -> Difference:
        """Return by how much a setting is better than another; more is better whatever the metric's goal."""
        return paired(self._gains[label], self._gains[than])

    def front(self, cost: str) -> list[str]:
        """Return the settings on the front of the metric against a column of costs, cheapest first."""
        costs = self._by_setting(self._rows[cost].to_list())
        known = [label for label in self.labels if costs[label]]
        ranked = sorted(known, key=lambda label: (_mean(costs[label]), -_mean(self._gains[label])))
        kept: list[str] = []
        for label in ranked:
            if not any(self._beats(other, label, costs) for other in kept):
                kept.append(label)
        return kept

    def _beats(self, other: str, label: str, costs: Values) -> bool:
        """Tell whether another setting, which is no dearer, leaves no reason to choose this one."""
        gain = _mean(self._gains[other]) - _mean(self._gains[label])
        price, least = _mean(costs[label]), _mean(costs[other])
        better, dearer = self.better(other, label), paired(costs[label], costs[other])
        if min(better.seeds, dearer.seeds) < FEWEST:
            return gain >= 0 and (gain > 0 or price > least)
        if gain >= 0 and (better.is_told_apart or dearer.is_told_apart):
            return True
        return least <= MUCH_CHEAPER * price and dearer.is_told_apart and not better.is_told_apart

    def _by_setting(self, values: list[float]) -> Values:
        found: Values = {}
        for label, seed, value in zip(self._rows["label"], self._rows["seed"], values, strict=True):
            mine = found.setdefault(str(label), {})
            if value is not None and math.isfinite(value):
                mine[int(seed)] = float(value)
        return found


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values)
