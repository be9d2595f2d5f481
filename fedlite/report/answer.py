"""The top of a run's page: one sentence that answers, one that warns, and the key numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from fedlite.fleet.outcomes import NOT_NEEDED, Outcome
from fedlite.report import measure, tails
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Tile
from fedlite.report.words import band, count, decimal, listed, number, percent, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Metric

Summary = dict[str, Any]

_ROUNDS = {True: ("round", "rounds"), False: ("round of queries", "rounds of queries")}
"""What rounds are called, by whether any trained."""


def metric(summary: Summary, name: str) -> float:
    """Return a final metric, not-a-number if the run has none of that name."""
    return number((summary.get("metrics") or {}).get(name))


def trained(summary: Summary) -> bool:
    """Tell whether a run trained anything: a Flower app may only ask or test."""
    return bool(summary.get("trained", True))


def answer(summary: Summary, metrics: Sequence[Metric]) -> Safe:
    """Return what the run reached and what that cost, in one sentence."""
    start = (
        "After ",
        tag("strong", plural(summary["rounds"], *_ROUNDS[trained(summary)])),
        " and ",
        tag("strong", quantity(summary["virtual_time_s"], "time")),
        " of fleet time ",
    )
    interval = band(summary.get("energy_low_j"), summary.get("energy_high_j"), "energy")
    cost = (
        "; it cost the devices ",
        tag("strong", quantity(summary["energy_j"], "energy")),
        f" ({interval}), " if interval else ", ",
        tag("strong", quantity(summary["up_bytes"], "bytes")),
        " up and ",
        tag("strong", quantity(summary["down_bytes"], "bytes")),
        " down.",
    )
    return safe_join((*start, *_came_of_it(summary, metrics[0]), *cost))


def _came_of_it(summary: Summary, main: Metric) -> tuple[Safe | str, ...]:
    if trained(summary) and "arrived" not in summary.get("outcomes", ("arrived",)):
        return ("nothing was trained, for nothing ever arrived",)
    if trained(summary):
        return ("the model ", *_reached(summary, main))
    if math.isfinite(metric(summary, main.name)):
        return ("nothing was trained; the model that was tested ", *_reached(summary, main))
    return ("nothing was trained",)


def _reached(summary: Summary, main: Metric) -> tuple[Safe | str, ...]:
    value = metric(summary, main.name)
    if math.isfinite(value):
        before, after = measure.phrase(main, value).split(measure.text(main, value))
        return (f"reaches {before}", tag("strong", measure.text(main, value)), f"{after}{_whose(summary)}")
    if main.name in (summary.get("metrics") or {}):
        return (f"has no {measure.words(main)} that is a number (training may have diverged)",)
    return ("was trained but not evaluated",)


def _whose(summary: Summary) -> str:
    """Return on whose rows the model was tested, where the data records people."""
    return f" on {summary['scored_on']}" if summary.get("scored_on") else ""


def arrived(outcomes: pl.DataFrame) -> tuple[int, int]:
    """Return how many jobs arrived, and how many there were; `outcomes` is a `tables.outcome_counts`."""
    return _jobs(outcomes, (Outcome.ARRIVED,)), int(outcomes["jobs"].sum())


def _jobs(outcomes: pl.DataFrame, ended: Sequence[Outcome]) -> int:
    return int(outcomes.filter(pl.col("outcome").is_in(ended))["jobs"].sum())


def remark(summary: Summary, outcomes: pl.DataFrame, fleet: pl.DataFrame) -> Safe:
    """Return how reliably the fleet answered, what radio tails took if most, and who could not take part at all.

    First, why the model is no good, if it is not.
    """
    came, asked = arrived(outcomes)
    job = "training job" if trained(summary) else "job"
    said = f"{count(came)} of {plural(asked, job)} arrived in time." if asked else "No device was ever asked."
    if unneeded := _jobs(outcomes, NOT_NEEDED):
        said += f" {count(unneeded)} more came when nobody waited for them any more."
    if asked and not came and trained(summary):
        said += " The model is the one that the run began with."
    if verdict := summary.get("verdict"):
        said = f"Mind: {verdict.rstrip('.')}. {said}"
    if tails.dominates(summary):
        said = f"{said} {tails.remark(summary)}"
    out = fleet.filter(pl.col("excluded_reason") != "")
    unused = _unused(fleet) if came else []
    if unused:
        said += f" Nothing of {listed(unused)} was ever used."
    if out.is_empty():
        return safe_join([said, "" if unused else " Every device class was able to take part."])
    devices, total = int(out["devices"].sum()), int(fleet["devices"].sum())
    names = listed(out["profile"].to_list())
    of = "device" if total == 1 else "devices"
    return safe_join(
        [
            said,
            f" {count(devices)} of {count(total)} {of} cannot take part: {names} (",
            tag("a", "why", href="#excluded"),
            ").",
        ]
    )


def _unused(fleet: pl.DataFrame) -> list[str]:
    """Return the device classes that had jobs, of which none ever arrived."""
    had = fleet.group_by("profile", maintain_order=True).agg(pl.col("participations", "arrived").sum())
    return had.filter((pl.col("participations") > 0) & (pl.col("arrived") == 0))["profile"].to_list()


def judged(summary: Summary) -> str:
    """Return by whose test a model is judged: the run's own, or whatever an app tells."""
    own = f"tested{_whose(summary)}" if summary.get("scored_on") else "central test set"
    return str(summary.get("judged_by") or own)


def tiles(summary: Summary, metrics: Sequence[Metric], outcomes: pl.DataFrame, fleet: pl.DataFrame) -> list[Tile]:
    """Return the key numbers of a run."""
    came, asked = arrived(outcomes)
    main, devices = metrics[0], int(fleet["devices"].sum())
    other = [measure.phrase(each, metric(summary, each.name)) for each in metrics[1:] if _is_reported(summary, each)]
    per_update = number(summary["energy_j"]) / came if came else math.nan
    metered = number(summary.get("metered_bytes"))
    chosen = [
        Tile(measure.heading(main), measure.text(main, metric(summary, main.name)), *(other or [judged(summary)])[:1]),
        Tile(
            "Fleet time",
            quantity(summary["virtual_time_s"], "time"),
            plural(summary["rounds"], *_ROUNDS[trained(summary)]),
        ),
        Tile(
            "Energy",
            quantity(summary["energy_j"], "energy"),
            band(summary.get("energy_low_j"), summary.get("energy_high_j"), "energy"),
        ),
        Tile(
            "Energy per update" if trained(summary) else "Energy per reply",
            quantity(per_update, "energy"),
            "all energy, failures too",
        ),
        Tile("Uplink", quantity(summary["up_bytes"], "bytes"), f"down {quantity(summary['down_bytes'], 'bytes')}"),
        Tile("Metered bytes", quantity(metered, "bytes"), "paid for by the owners"),
        Tile("Jobs that arrived", percent(came / asked if asked else math.nan), f"{count(came)} of {count(asked)}"),
        Tile("Fleet", plural(devices, "device"), plural(fleet["profile"].n_unique(), "device class", "device classes")),
    ]
    if summary.get("carbon_g") is not None:
        chosen.append(Tile("Carbon", f"{decimal(summary['carbon_g'])} g", "CO₂e of the energy"))
    private = summary.get("epsilon") or {}
    if private.get("epsilon") is not None:
        chosen.append(
            Tile("Privacy loss", f"ε = {decimal(private['epsilon'])}", f"δ = {decimal(private.get('delta'))}")
        )
    return chosen


def _is_reported(summary: Summary, metric_: Metric) -> bool:
    return math.isfinite(metric(summary, metric_.name))
