"""What runs had spent when they were first equally good, also of runs that never got there.

A run that did not get there is not left out, for that would praise settings that sometimes fail: it would have cost at
least all that it spent. What follows from such a least cost is said, and nothing else: a mean has only a lower end, and
a difference counts as told apart only in the direction that further rounds would make clearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import median_low
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.report import measure, tables
from fedlite.report.noise import Difference, interval, is_told_apart, paired
from fedlite.report.run_sets import metric_of, settings
from fedlite.report.trade_off import judged
from fedlite.report.words import number
from fedlite.units import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.learning.objectives import Metric
    from fedlite.report.run_data import RunData

PRICES: Final = ("time_s", "up_bytes", "energy_j")


@dataclass(frozen=True)
class Spent:
    """What a run had spent until it got there, or in the end if it never did.

    Attributes
    ----------
    reached : bool
    prices : mapping
        By the names of `PRICES`.
    """

    reached: bool
    prices: Mapping[str, float]


@dataclass(frozen=True)
class Dearer:
    """What one setting costs more than another on the same seeds.

    Attributes
    ----------
    found : Difference
        Of what was spent.
    p : float
        Among all pairs that were looked at together.
    low, high : float
        Ends of the interval of what the same result costs more: infinite where a run that never got there, and would
        have cost more, leaves that open.
    """

    found: Difference
    p: float
    low: float
    high: float

    @property
    def is_told_apart(self) -> bool:
        """Whether one of the two is told to be dearer, at 95 %."""
        return is_told_apart(self.p) and (self.low > 0 or self.high < 0)


class SameResult:
    """The settings of a study at one value of the metric.

    Parameters
    ----------
    runs : sequence of RunData
    labels, seeds : sequences
        Of each run its setting and its seed.
    """

    def __init__(self, runs: Sequence[RunData], labels: Sequence[str], seeds: Sequence[int]) -> None:
        self.metric = metric_of(runs)
        asked = _asked(runs, self.metric)
        self.target = _common(runs, self.metric, 1 / 2) if asked is None else asked
        self._spent: dict[str, dict[int, Spent]] = {}
        if self.target is not None:
            for label, seed, run in zip(labels, seeds, runs, strict=True):
                self._spent.setdefault(label, {})[seed] = _spent(run, self.metric, self.target)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One row per setting: label, target, seeds, reached (in how many), and of each price mean, `_low`, `_high`.

        The mean is of what was spent. Where a seed did not get there it is less than the same result costs, so that
        there is a `_low` and no `_high`. Without rows if no value was reached by half of all runs, and none is asked
        for by the target of all.
        """
        if self.target is None:
            return pl.DataFrame(schema={"label": pl.String, "target": pl.Float64})
        return pl.DataFrame([self._row(label) for label in self._spent], infer_schema_length=None)

    def dearer(self, price: str, pairs: Sequence[tuple[str, str]] | None = None) -> dict[tuple[str, str], Dearer]:
        """Return what the first of each pair costs more; without `pairs` of each setting and those that follow."""
        wanted = list(combinations(self._spent, 2)) if pairs is None else pairs
        differences = {(one, other): paired(self._of(one, price), self._of(other, price)) for one, other in wanted}
        return {
            (one, other): Dearer(
                found,
                p,
                found.low if self._all_reached(other) else -math.inf,
                found.high if self._all_reached(one) else math.inf,
            )
            for (one, other), (found, p) in judged(differences).items()
        }

    def _of(self, label: str, price: str) -> dict[int, float]:
        return {seed: spent.prices[price] for seed, spent in self._spent[label].items()}

    def _all_reached(self, label: str) -> bool:
        return all(spent.reached for spent in self._spent[label].values())

    def _row(self, label: str) -> dict[str, Any]:
        seeds = self._spent[label].values()
        row: dict[str, Any] = {
            "label": label,
            "target": self.target,
            "seeds": len(seeds),
            "reached": sum(spent.reached for spent in seeds),
        }
        for price in PRICES:
            found = interval(self._of(label, price).values())
            known = math.isfinite(found.low)
            row |= {
                price: found.mean,
                f"{price}_low": max(found.low, 0.0) if known else None,
                f"{price}_high": found.high if known and self._all_reached(label) else None,
            }
        return row


def all_reached(runs: Sequence[RunData], names: Sequence[str]) -> pl.DataFrame:
    """Return what each run had spent when it first reached the best round value of the metric that every run reached.

    Columns: run, target and those of `tables.learning_curve`. Empty if no target was reached by all.
    """
    metric = metric_of(runs)
    target = _common(runs, metric, 1.0)
    if target is None:
        return pl.DataFrame({"run": [], "target": []}, schema={"run": pl.String, "target": pl.Float64})
    return pl.concat(
        _first(run, metric, target).select(pl.lit(name).alias("run"), pl.all())
        for name, run in zip(names, runs, strict=True)
    )


def _asked(runs: Sequence[RunData], metric: Metric) -> float | None:
    """Return the target of the scenarios, if all have the same and it is of this metric."""
    found = {_target(run, metric) for run in runs}
    return found.pop() if len(found) == 1 else None


def _target(run: RunData, metric: Metric) -> float | None:
    told = settings(run)
    keys = [f"training.target_{metric.name}", *(["training.target"] if metric.name == run.main.name else [])]
    return next((parse(told[key], "fraction") for key in keys if told.get(key, "null") != "null"), None)


def _common(runs: Sequence[RunData], metric: Metric, part: float) -> float | None:
    """Return the best round value of the metric that at least a part of the runs reached; None if there is none."""
    curves = [_known(run, metric) for run in runs]
    gains = [[number(gain) for gain in measure.gains(metric, values)] for values in curves if values]
    place = math.ceil(part * len(runs)) - 1
    if place >= len(gains):
        return None
    sign = 1.0 if metric.goal == "max" else -1.0
    reached = sorted((max(several) for several in gains), reverse=True)[place]
    # How far the metric moves is that of a usual run: one that diverged goes anywhere.
    return measure.eased(metric, sign * reached, median_low([max(several) - min(several) for several in gains]))


def _known(run: RunData, metric: Metric) -> list[float]:
    values = map(number, tables.learning_curve(run.rounds, metric)[metric.name].to_list())
    return [value for value in values if math.isfinite(value)]


def _first(run: RunData, metric: Metric, target: float) -> pl.DataFrame:
    return tables.first_reached(tables.learning_curve(run.rounds, metric), metric, [target])


def _spent(run: RunData, metric: Metric, target: float) -> Spent:
    there = _first(run, metric, target)
    prices = (there if there.height else _in_the_end(run)).select(PRICES).row(0, named=True)
    return Spent(bool(there.height), {name: float(price) for name, price in prices.items()})


def _in_the_end(run: RunData) -> pl.DataFrame:
    """Return what a run had spent in the end, tested or not."""
    return run.rounds.select(
        (pl.col("end_s").max() - pl.col("start_s").min()).alias("time_s"),
        *(pl.col(name).fill_null(0).sum() for name in PRICES if name != "time_s"),
    )
