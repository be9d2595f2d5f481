"""The tables of a study: its settings, which of them seeds tell apart, and the cost of the same result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report import measure
from fedlite.report.figure import TextTable
from fedlite.report.figures import fronts
from fedlite.report.noise import FEWEST
from fedlite.report.words import NOTHING, band, count, decimal, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Metric
    from fedlite.report.study_data import Study
    from fedlite.report.trade_off import TradeOffs


def settings_table(study: Study) -> TextTable:
    """Return the settings of a study as text: means over seeds, intervals, and the fronts each lies on."""
    metric, settings = study.metric, study.settings
    best = {cost.name.lower(): study.trade_offs.front(cost.column) for cost in fronts.costs_of(settings)}
    aimed, private = settings["reached"].count() > 0, settings["epsilon"].count() > 0
    rows = tuple(
        (
            row["label"],
            count(row["seeds"]),
            measure.text(metric, row[metric.name]),
            interval_text(metric, row) or NOTHING,
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
            quantity(row["virtual_time_s"], "time"),
            *([_to_target(row)] if aimed else []),
            *([_epsilon(row["epsilon"])] if private else []),
            _fronts([name for name, found in best.items() if row["label"] in found], len(best)),
        )
        for row in settings.sort(
            metric.name, descending=metric.goal == "max", nulls_last=True, maintain_order=True
        ).iter_rows(named=True)
    )
    head = (
        "Setting",
        "Seeds",
        measure.heading(metric),
        "95\u00a0% interval",
        "Uplink",
        "Energy",
        "Energy band",
        "Virtual time",
        *(["To the target"] if aimed else []),
        *(["ε"] if private else []),
        "On the front of",
    )
    return TextTable("Settings, means over their seeds", head, rows, frozenset(range(1, len(head) - 1)))


def _epsilon(value: float | None) -> str:
    return "none stated" if value is None else decimal(value)


def apart_table(trade_offs: TradeOffs) -> TextTable | None:
    """Return how far settings are from the first and from the leader on the same seeds; None if there is no other."""
    references = dict.fromkeys(label for label in (*trade_offs.labels[:1], trade_offs.leader) if label)
    if len(trade_offs.labels) < 2:  # noqa: PLR2004 - a pair
        return None
    rows = tuple(
        (label, *(_apart(trade_offs, label, reference) for reference in references)) for label in trade_offs.labels
    )
    caption = f"{measure.heading(trade_offs.metric)} against others on the same seeds: difference, 95 % interval"
    return TextTable(caption, ("Setting", *(f"Against {name}" for name in references)), rows)


def _apart(trade_offs: TradeOffs, label: str, reference: str) -> str:
    if label == reference:
        return NOTHING
    found, metric = trade_offs.better(label, reference), trade_offs.metric
    sign = 1.0 if metric.goal == "max" else -1.0
    if found.seeds < FEWEST:
        return f"{_signed(metric, sign * found.mean)} (one seed)" if found.seeds else NOTHING
    ends = sorted((sign * found.low, sign * found.high))
    verdict = "" if found.is_told_apart else ", not told apart"
    return f"{_signed(metric, sign * found.mean)} ({' to '.join(_signed(metric, end) for end in ends)}){verdict}"


def _signed(metric: Metric, value: float) -> str:
    sign = "+" if value >= 0 else "\N{MINUS SIGN}"
    return f"{sign}{measure.text(metric, abs(value))}"


def same_result_table(study: Study) -> TextTable | None:
    """Return what each setting had spent for the same value of the metric; None if half of the runs share none."""
    found = study.same_result
    if found.is_empty():
        return None
    rows = tuple(
        (
            row["label"],
            f"{row['reached']} of {row['seeds']}",
            *(
                _spent(row, name, kind)
                for name, kind in (("up_bytes", "bytes"), ("energy_j", "energy"), ("time_s", "time"))
            ),
        )
        for row in found.iter_rows(named=True)
    )
    caption = (
        f"What {measure.phrase(study.metric, found['target'][0], 0)} of the server's model had cost, 95 % interval"
    )
    return TextTable(caption, ("Setting", "Reached", "Uplink", "Energy", "Virtual time"), rows, frozenset(range(1, 5)))


def _spent(row: dict[str, Any], name: str, kind: str) -> str:
    if row["reached"] < row["seeds"]:
        return f"more than {quantity(row[name], kind)}"
    interval = band(row[f"{name}_low"], row[f"{name}_high"], kind)
    return f"{quantity(row[name], kind)} ({interval})" if interval else quantity(row[name], kind)


def _to_target(row: dict[str, Any]) -> str:
    """Say when the server's model was as good as wanted, or in how many of the seeds it was."""
    if row["time_to_target_s"] is not None:
        return quantity(row["time_to_target_s"], "time")
    return NOTHING if row["reached"] is None else f"{row['reached']} of {plural(row['seeds'], 'seed')}"


def _fronts(names: Sequence[str], every: int) -> str:
    return "all" if len(names) == every else ",\u00a0".join(names) or NOTHING


def interval_text(metric: Metric, row: dict[str, Any]) -> str:
    """Return the metric's interval of one of a study's settings; "" for a single seed."""
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    return "" if low is None or high is None else f"{measure.text(metric, low)} to {measure.text(metric, high)}"
