"""Numbers of one run that papers report: the accuracy in the end, and what it took to get to a target.

Rounds to a target are counted as in McMahan et al. 2017, section 3: the curve of the best accuracy so far, joined by
straight lines between the tests, is followed to where it crosses the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from fedlite.report.shipped import shipped_metric
from fedlite.report.words import percent, quantity

if TYPE_CHECKING:
    from fedlite.report.run_data import RunData


@dataclass(frozen=True)
class Value:
    """A number of one run; where it never got to a target (`reached` is false) all that it spent."""

    number: float
    reached: bool = True


@dataclass(frozen=True)
class Accuracy:
    """Of the server's model after the last round, or of what devices get."""

    more_is_better: ClassVar[bool] = True
    shipped: bool = False

    @property
    def name(self) -> str:
        return "accuracy on devices" if self.shipped else "accuracy"

    def __call__(self, run: RunData) -> Value:
        return Value(shipped_metric(run) if self.shipped else float(run.summary["metrics"]["accuracy"]))

    def show(self, number: float) -> str:
        return percent(number)


@dataclass(frozen=True)
class ToTarget:
    """What was spent when the server's model first had an accuracy.

    Attributes
    ----------
    target : float
    spent : str
        "round", "time_s" (fleet time), "updates" (of clients, that arrived) or "up_bytes".
    """

    more_is_better: ClassVar[bool] = False
    target: float
    spent: str = "round"

    @property
    def name(self) -> str:
        return f"{_SPENT[self.spent]} to {100 * self.target:g} %"

    def __call__(self, run: RunData) -> Value:
        return first_reached(scored(run.rounds), self.target, self.spent)

    def show(self, number: float) -> str:
        dimension = {"time_s": "time", "up_bytes": "bytes"}.get(self.spent)
        return quantity(number, dimension) if dimension else f"{number:,.0f}"


@dataclass(frozen=True)
class UpBytes:
    """All that devices sent."""

    more_is_better: ClassVar[bool] = False
    name: ClassVar[str] = "bytes up"

    def __call__(self, run: RunData) -> Value:
        return Value(float(run.summary["up_bytes"]))

    def show(self, number: float) -> str:
        return quantity(number, "bytes")


_SPENT = {"round": "rounds", "time_s": "time", "updates": "updates", "up_bytes": "bytes up"}
Measure = Accuracy | ToTarget | UpBytes


def scored(rounds: pl.DataFrame) -> pl.DataFrame:
    """Return the rounds after which the model was tested, with what had been spent until then."""
    running = rounds.sort("round").select(
        "round",
        (pl.col("end_s") - pl.col("start_s").min()).alias("time_s"),
        pl.col("arrived").cum_sum().alias("updates"),
        pl.col("up_bytes").fill_null(0).cum_sum(),
        pl.col("accuracy").fill_nan(None),
    )
    return running.filter(pl.col("accuracy").is_not_null())


def first_reached(curve: pl.DataFrame, target: float, spent: str) -> Value:
    """Return what was spent where the best accuracy so far crosses the target."""
    costs, best = curve[spent].to_list(), curve["accuracy"].cum_max().to_list()
    for place, value in enumerate(best):
        if value < target:
            continue
        if place == 0:
            return Value(float(costs[0]))
        share = (target - best[place - 1]) / (value - best[place - 1])
        return Value(costs[place - 1] + share * (costs[place] - costs[place - 1]))
    return Value(float(costs[-1]), reached=False)
