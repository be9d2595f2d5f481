"""Which settings of a study nobody beats at a gain and a cost, as far as its seeds can tell.

Two settings are compared on the seeds that both have: a mean over other seeds is another mean. A setting is off the
front if another is at least as good for at most the cost and the seeds tell them apart (costs that differ by less than
a tenth and are not told apart are the same), or if the seeds do not tell that it is better than one on the front that
costs at least a tenth less. Each pair is judged by itself. From fewer than
three seeds, whose noise nobody knows, means alone decide.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Final

from fedlite.report import measure
from fedlite.report.noise import FEWEST, Difference, at_once, is_told_apart, paired

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from fedlite.learning.objectives import Metric

MUCH_CHEAPER: Final = 0.9
"""Share of a cost up to which another is much less."""

Values = dict[str, dict[int, float]]
"""Setting -> seed -> value."""
Pairs = dict[tuple[str, str], tuple[Difference, float]]
"""(setting, other) -> by how much the first is more, and p among all of these pairs (Holm 1979)."""


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
        self._fronts: dict[str, list[str]] = {}

    @property
    def labels(self) -> list[str]:
        """The settings that were tested, in the study's order."""
        return [label for label, values in self._gains.items() if values]

    @cached_property
    def leader(self) -> str | None:
        """The setting that is ahead of most others; None if none was tested.

        Where all have the same seeds, that is the one with the best mean.
        """
        return max(self.labels, key=lambda label: (self._ahead(label), _mean(self._gains[label])), default=None)

    @property
    def best(self) -> str | None:
        """The setting that is better than all others, told apart from all of them at once; None if there is none."""
        found = self._of_leader
        ps = at_once([one.p for one in found.values()])
        is_best = found and all(one.is_better for one in found.values()) and all(map(is_told_apart, ps))
        return self.leader if is_best else None

    @property
    def level_with_leader(self) -> list[str]:
        """The settings than which the leader is not told to be better, each by itself."""
        return [label for label, found in self._of_leader.items() if not found.is_better]

    @property
    def seeds_of_leader(self) -> tuple[int, int]:
        """The fewest and the most seeds that the leader shares with another setting; none without another."""
        shared = [found.seeds for found in self._of_leader.values()]
        return (min(shared, default=0), max(shared, default=0))

    @property
    def has_same_seeds(self) -> bool:
        """Whether every setting was tested with the same seeds."""
        return len({frozenset(self._gains[label]) for label in self.labels}) <= 1

    def better(self, label: str, than: str) -> Difference:
        """Return by how much a setting is better than another; more is better whatever the metric's goal."""
        return paired(self._gains[label], self._gains[than])

    def pairs(self, which: list[tuple[str, str]] | None = None) -> Pairs:
        """Return by how much the first of each pair is better; without `which` of each setting and those that follow.

        What is told apart among many pairs has to be clearer than what is told of one.
        """
        wanted = combinations(self.labels, 2) if which is None else which
        return judged({pair: self.better(*pair) for pair in wanted})

    def front(self, cost: str) -> list[str]:
        """Return the settings on the front of the metric against a column of costs, cheapest first."""
        if cost not in self._fronts:
            self._fronts[cost] = self._front(cost)
        return self._fronts[cost]

    def _front(self, cost: str) -> list[str]:
        costs = self._by_setting(self._rows[cost].to_list())
        known = [label for label in self.labels if costs[label]]
        ranked = sorted(known, key=lambda label: (_mean(costs[label]), -_mean(self._gains[label])))
        kept: list[str] = []
        for label in ranked:
            # Whoever is beaten may have beaten others: what is better and cheaper is so, on the front or off it.
            if not any(self._beats(other, label, costs) for other in known if other != label) and not any(
                self._suffices(other, label, costs) for other in kept
            ):
                kept.append(label)
        return kept

    def _beats(self, other: str, label: str, costs: Values) -> bool:
        """Tell whether another setting is at least as good for at most the cost, and more than noise apart.

        Costs that differ by less than a tenth and are not told apart are the same cost.
        """
        better, dearer = self.better(other, label), paired(costs[label], costs[other])
        if min(better.seeds, dearer.seeds) < FEWEST:
            return min(better.mean, dearer.mean) >= 0 < max(better.mean, dearer.mean)
        if dearer.mean < 0:
            near = _mean(costs[label]) > MUCH_CHEAPER * _mean(costs[other])
            return near and not dearer.is_told_apart and better.is_better
        return better.mean >= 0 and (better.is_told_apart or dearer.is_told_apart)

    def _suffices(self, other: str, label: str, costs: Values) -> bool:
        """Tell whether another setting costs much less, and nobody can tell that this one is better."""
        dearer = paired(costs[label], costs[other])
        shared = [seed for seed in costs[label] if seed in costs[other]]
        if min(len(shared), self.better(other, label).seeds) < FEWEST:
            return False
        price, least = (sum(costs[name][seed] for seed in shared) for name in (label, other))
        return least <= MUCH_CHEAPER * price and dearer.is_better and not self.better(label, other).is_better

    def _ahead(self, label: str) -> int:
        return sum(self.better(label, other).mean > 0 for other in self.labels if other != label)

    @property
    def _of_leader(self) -> dict[str, Difference]:
        """By how much the leader is better than each other setting."""
        leader = self.leader
        return {} if leader is None else {name: self.better(leader, name) for name in self.labels if name != leader}

    def _by_setting(self, values: list[float]) -> Values:
        found: Values = {}
        for label, seed, value in zip(self._rows["label"], self._rows["seed"], values, strict=True):
            mine = found.setdefault(str(label), {})
            if value is not None and math.isfinite(value):
                mine[int(seed)] = float(value)
        return found


def judged(differences: Mapping[tuple[str, str], Difference]) -> Pairs:
    """Return each difference with its p among all of them."""
    ps = at_once([found.p for found in differences.values()])
    return {pair: (found, p) for (pair, found), p in zip(differences.items(), ps, strict=True)}


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values)
