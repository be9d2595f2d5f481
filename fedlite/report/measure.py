"""The main metric of a run on its pages: its words, its numbers, its axis, and which way is better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fedlite.learning.objectives import LOSS, Metric, objective
from fedlite.learning.objectives.base import SHARE
from fedlite.report.figure import Scale
from fedlite.report.figures.shapes import axis
from fedlite.report.words import NOTHING, capitalised, decimal, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

_DIGITS: Final = 4
MINUS: Final = "\N{MINUS SIGN}"
_LONGEST_ACRONYM: Final = 4
SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
"""Shares for which a report says when they were first reached."""
_MOST_LEVELS: Final = 20


def metric_records(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return what the summary of a run tells about its metrics; the first is the main one."""
    return {"main_metric": vars(metrics[0]).copy(), "other_metrics": [vars(metric).copy() for metric in metrics[1:]]}


def metrics_of(summary: Mapping[str, Any], rounds: pl.DataFrame) -> tuple[Metric, ...]:
    """Return the metrics of a run, the main one first.

    Runs of versions that knew one objective do not say: theirs are those of cross entropy, or, of an app that never
    told them, the loss.

    Raises
    ------
    KeyError, TypeError
        If the summary tells its metrics in another way.
    """
    if "main_metric" in summary:
        return tuple(Metric(**told) for told in (summary["main_metric"], *summary.get("other_metrics", ())))
    known = objective("cross-entropy").metrics
    return (
        known
        if known[0].name not in rounds or _is_reported(rounds, known[0]) or not _is_reported(rounds, LOSS)
        else (LOSS,)
    )


def _is_reported(rounds: pl.DataFrame, metric: Metric) -> bool:
    return metric.name in rounds and bool(rounds[metric.name].is_finite().any())


def shared(runs: Sequence[tuple[Metric, Iterable[str]]]) -> Metric:
    """Return by which metric runs are compared: the first main one that all have, else that of the first run.

    Parameters
    ----------
    runs : sequence of (main metric, names of all metrics)
    """
    return next((main for main, _ in runs if all(main.name in names for _, names in runs)), runs[0][0])


def words(metric: Metric) -> str:
    """Return the metric's name as text: "macro F1"; parts with a digit are symbols."""
    parts = metric.name.split("_")
    return " ".join(part.upper() if any(map(str.isdigit, part)) else part for part in parts)


def heading(metric: Metric) -> str:
    """Return the name as it begins a title: "Accuracy"; names as short as "rmse" are acronyms."""
    acronym = len(metric.name) <= _LONGEST_ACRONYM and metric.name != LOSS.name
    return words(metric).upper() if acronym else capitalised(words(metric))


def text(metric: Metric, value: Any, digits: int = 1) -> str:
    """Return a value with its unit, or a dash; `digits` are those of a percentage."""
    if metric.unit == SHARE:
        return percent(value, digits)
    found = decimal(value, _DIGITS)
    return f"{found}\u00a0{metric.unit}" if metric.unit and found != NOTHING else found


def phrase(metric: Metric, value: Any, digits: int = 1) -> str:
    """Return "80 % accuracy", or "perplexity 12.3"."""
    told = text(metric, value, digits)
    return f"{told} {words(metric)}" if metric.unit == SHARE else f"{words(metric)} {told}"


def hover(metric: Metric) -> str:
    """Return the value of a point as plotly writes it beside the pointer."""
    return "%{y:.1%}" if metric.unit == SHARE else f"%{{y:.4~g}} {metric.unit}".rstrip()


def value_axis(metric: Metric) -> dict[str, Any]:
    """Return an axis of values."""
    if metric.unit == SHARE:
        return axis(words(metric), tickformat=".0%")
    return axis(f"{words(metric)} ({metric.unit})" if metric.unit else words(metric))


def scale(metric: Metric) -> Scale:
    """Return in what values are drawn where the axis has no format of its own."""
    return Scale(0.01, "%") if metric.unit == SHARE else Scale(1.0, metric.unit)


def gains(metric: Metric, values: Iterable[float | None]) -> list[float | None]:
    """Return numbers that are higher where the values are better."""
    sign = 1.0 if metric.goal == "max" else -1.0
    return [None if value is None else sign * value for value in values]


def reached(metric: Metric, column: pl.Expr, target: float) -> pl.Expr:
    """Return where a column is as good as the target."""
    return column >= target if metric.goal == "max" else column <= target


def levels(metric: Metric, values: Iterable[float | None]) -> tuple[float, ...]:
    """Return round values for which to say when they were first reached, the easiest first."""
    if metric.unit == SHARE and metric.goal == "max":
        return SHARES
    known = [found for value in values if math.isfinite(found := number(value))]
    if not known or min(known) == max(known):
        return ()
    step = _step(max(known) - min(known))
    first, last = math.ceil(min(known) / step), math.floor(max(known) / step)
    found_levels = tuple(_times(count, step) for count in range(first, last + 1))
    return found_levels if metric.goal == "max" else found_levels[::-1]


def eased(metric: Metric, value: float, width: float) -> float | None:
    """Return the hardest round value that is no harder than `value`; None if there is none.

    `width` is between which values the metric moves: round are those that part it into at most twenty steps.
    """
    if metric.unit == SHARE and metric.goal == "max":
        return max((share for share in SHARES if share <= value), default=None)
    step = _step(width or abs(value) or 1.0)
    return _times((math.floor if metric.goal == "max" else math.ceil)(value / step), step)


def _step(width: float) -> float:
    return next(
        found
        for power in range(math.floor(math.log10(width)) - 2, math.ceil(math.log10(width)) + 1)
        for leading in (1, 2, 5)
        if width / (found := leading * 10.0**power) <= _MOST_LEVELS
    )


def _times(count: int, step: float) -> float:
    return round(count * step, max(0, -math.floor(math.log10(step))))


def difference(metric: Metric, value: float, *ends: float) -> str:
    """Return by how much values differ, and between which ends: "+2.7 points (+2.1 to +3.3)".

    Shares differ by points: 2.7 % more would be a ratio.
    """
    factor, unit = (100.0, "points") if metric.unit == SHARE else (1.0, metric.unit)
    between = " to ".join(_signed(factor * end, metric) for end in ends)
    told = f"{_signed(factor * value, metric)}\u00a0{unit}".rstrip("\u00a0")
    return f"{told} ({between})" if ends else told


def _signed(value: float, metric: Metric) -> str:
    size = f"{abs(value):.1f}" if metric.unit == SHARE else decimal(abs(value), _DIGITS)
    return f"{'+' if value >= 0 else MINUS}{size}"
