"""The chapter of a run's page on plans: what each class trained, what was not chosen, and what is shipped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.report import measure, tables
from fedlite.report.figure import TextTable
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import table
from fedlite.report.words import NOTHING, band, capitalised, count, decimal, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.learning.objectives import Metric

_MILLI: Final = 1e-3
_FLOAT32: Final = 4
"""Bytes of a value."""


def plans(fleet: pl.DataFrame, jobs: pl.LazyFrame, remarks: Mapping[str, str], full_values: int | None) -> Safe | None:
    """Return what each class trains, how long a round takes it, its memory against the budget, and its bytes.

    Bytes are compared with all `full_values` of the full model in float32, whatever part of it a plan has; None if the
    run does not say how many there are. `remarks` say what each plan saves and what not, by its name.
    """
    full_bytes = _FLOAT32 * (full_values or 0)
    if fleet.is_empty():
        return None
    joined = tables.by_plan(fleet, jobs)
    # Where a plan is chosen job by job, a class has several.
    several = joined.height > fleet.height
    rows = tuple(_plan_row(row, full_bytes, several=several) for row in joined.iter_rows(named=True))
    head = (
        "Class",
        "Plan",
        "Jobs" if several else "Devices",
        "Training per round",
        "Memory of a job",
        "Up",
        "Down",
    )
    # Named once, for columns that name it would run off the page.
    against = f"; bytes against the {quantity(full_bytes, 'bytes')} of the full model in float32" if full_bytes else ""
    title = f"What each device class trains, and whether it fits{against}"
    content = TextTable(title, head, rows, frozenset({2, 3}))
    return tag(
        "div",
        table(content),
        *_said_of_plans(joined, remarks),
        class_="card",
    )


def _said_of_plans(joined: pl.DataFrame, remarks: Mapping[str, str]) -> list[Safe]:
    """Return what plans claim or deny, and why those that fedlite chose itself are what they are, where any do."""
    followed = joined.filter(pl.col("excluded_reason").fill_null("") == "")
    own = dict(_told(followed, ("plan",), "plan_remark"))
    saved = tuple(
        (plan, capitalised(said))
        for plan in followed["plan"].unique(maintain_order=True)
        if (said := remarks.get(plan) or own.get(plan))
    )
    why = tuple((*keys, capitalised(said)) for *keys, said in _told(followed, ("profile", "plan"), "plan_reason"))
    return [
        table(TextTable(title, head, rows, frozenset()), prose=True)
        for title, head, rows in (
            ("What plans save and what not", ("Plan", "What it says"), saved),
            ("Why this plan", ("Class", "Plan", "Why"), why),
        )
        if rows
    ]


def _told(followed: pl.DataFrame, keys: tuple[str, ...], column: str) -> list[tuple[Any, ...]]:
    """Return these columns where the last one says anything, each row once."""
    if column not in followed.columns:
        return []
    return followed.filter(pl.col(column) != "").select(*keys, column).unique(maintain_order=True).rows()


def rejected(summary: dict[str, Any]) -> Safe | None:
    """Return the plans that `auto` did not choose, a class's mildest first, each with the limits that it breaks."""
    rows = tuple(
        (one["profile"], one["chosen"] or NOTHING, plan["plan"], *(_broken(plan["over"], part) for part in _PARTS))
        for one in summary.get("auto") or ()
        for plan in one["rejected"]
    )
    if not rows:
        return None
    head = ("Class", "Chosen", "Not chosen", "Limit", "Takes", "Limit is", "Times")
    content = TextTable("Plans that were not chosen", head, rows, frozenset({4, 5, 6}))
    return tag("div", table(content, prose=True), class_="card", id="rejected")


_PARTS: Final = ("limit", "takes", "most", "times")


def _broken(over: dict[str, Any], part: str) -> str:
    """Return one column of a rejected plan's limits; where no number tells, the limit is its own sentence."""
    cells = []
    for limit, one in over.items():
        if part == "limit":
            cells.append(limit if "times" in one else one["why"])
        elif "times" not in one:
            cells.append(NOTHING)
        else:
            cells.append(decimal(one["times"], 3) if part == "times" else quantity(one[part], one["dimension"]))
    return "; ".join(cells)


def delivered(summary: dict[str, Any], metrics: Sequence[Metric]) -> Safe | None:
    """Return what devices get under each plan that ships something else than the trained model, and how good it is."""
    told = summary.get("delivered")
    if not told:
        return None
    whole = summary["metrics"]
    rows = tuple(
        (
            one["plan"],
            _classes(one),
            quantity(one["stored_bytes"], "bytes"),
            *(measure.text(metric, one["metrics"][metric.name]) for metric in metrics),
        )
        for one in told
        if "why" not in one
    )
    trained = (
        "the trained model",
        "",
        "",
        *(measure.text(metric, whole.get(metric.name, math.nan)) for metric in metrics),
    )
    head = ("Plan", "Classes", "Stored", *(measure.heading(metric) for metric in metrics))
    content = TextTable(
        "What is shipped under each plan, tested", head, (trained, *rows), frozenset(range(2, len(head)))
    )
    not_made = tuple((one["plan"], _classes(one), one["why"]) for one in told if "why" in one)
    reasons = TextTable("What could not be made of the model", ("Plan", "Classes", "Why"), not_made, frozenset())
    tables = [table(content, prose=True), *([table(reasons, prose=True)] if not_made else [])]
    return tag("div", *tables, class_="card", id="delivered")


def inference(summary: dict[str, Any]) -> Safe | None:
    """Return what one inference of what is shipped takes on each class; None in runs that do not tell."""
    told = summary.get("inference")
    if not told:
        return None
    rows = tuple(
        (one["profile"], one["plan"], *((one["why"], "", "", "") if "why" in one else _takes(one))) for one in told
    )
    head = ("Class", "Plan", "Stored", "Time", "Energy", "Memory")
    content = TextTable("One inference of what is shipped, by the device model", head, rows, frozenset(range(2, 6)))
    return tag("div", table(content, prose=True), class_="card", id="inference")


def _takes(one: dict[str, Any]) -> tuple[str, ...]:
    bands = (("latency_ms", _MILLI, "time"), ("energy_mj", _MILLI, "energy"), ("peak_memory_bytes", 1.0, "bytes"))
    return (quantity(one["stored_bytes"], "bytes"), *(_with_band(one[key], unit, kind) for key, unit, kind in bands))


def _with_band(told: dict[str, Any], unit: float, kind: str) -> str:
    value, low, high = (unit * told[part] for part in ("value", "low", "high"))
    return quantity(value, kind) if low == high else f"{quantity(value, kind)} ({band(low, high, kind)})"


def _classes(one: dict[str, Any]) -> str:
    """Return the classes that something is shipped to; where each job had its plan, why under this one."""
    chosen = one.get("by_most_jobs") or ()
    return ", ".join(f"{name} (the plan of most of its jobs)" if name in chosen else name for name in one["profiles"])


def _plan_row(row: dict[str, Any], full_bytes: int, *, several: bool) -> tuple[Safe | str, ...]:
    return (
        row["profile"],
        f"none, left out ({row['plan']})" if row["excluded_reason"] else row["plan"],
        count(row["jobs"] if several else row["devices"]),
        quantity(row["train_s_per_round"], "time"),
        _memory(row["peak_bytes"], row["job_ram_bytes"]),
        _ratio(row["up_bytes"], full_bytes),
        _ratio(row["down_bytes"], full_bytes),
    )


def _memory(peak: int, budget: int) -> Safe:
    part = peak / budget if budget else 0.0
    bar = tag(
        "span",
        tag("i", style=f"width:{min(100.0, 100 * part):.0f}%"),
        class_="meter over" if part > 1 else "meter",
        aria_hidden="true",
    )
    return safe_join([f"{quantity(peak, 'bytes')} of {quantity(budget, 'bytes')} ({percent(part, 0)})", bar])


def _ratio(job_bytes: float | None, full_bytes: int) -> str:
    if not full_bytes or job_bytes is None:
        return NOTHING
    return f"{percent(job_bytes / full_bytes)} ({quantity(job_bytes, 'bytes')})"
