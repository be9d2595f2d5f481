"""The tables of a study: its settings, which of them seeds tell apart, and the cost of the same result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fedlite.report import measure
from fedlite.report.chapters import WEAK_EPSILON
from fedlite.report.figure import TextTable
from fedlite.report.figures import fronts
from fedlite.report.noise import FEWEST, is_told_apart
from fedlite.report.words import NOTHING, band, capitalised, count, decimal, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Metric
    from fedlite.report.same_result import Dearer
    from fedlite.report.study_data import Study
    from fedlite.report.trade_off import Pairs, TradeOffs


def settings_table(study: Study) -> TextTable:
    """Return the settings of a study as text: means over seeds, intervals, and the fronts each lies on."""
    metric, settings = study.metric, study.settings
    best = {cost.name.lower(): study.trade_offs.front(cost.column) for cost in fronts.costs_of(settings)}
    aimed, private = settings["reached"].count() > 0, settings["epsilon"].count() > 0
    rows = tuple(
        (
            row["label"],
            count(row["seeds"]) if row["tested"] in {0, row["seeds"]} else f"{row['tested']} of {row['seeds']}",
            measure.text(metric, row[metric.name]),
            interval_text(metric, row) or NOTHING,
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
            quantity(row["virtual_time_s"], "time"),
            *([_to_target(row)] if aimed else []),
            *([_epsilon(row)] if private else []),
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


def _epsilon(row: dict[str, Any]) -> str:
    """Say what is guaranteed whatever the seed, and whether that is worth much."""
    if row["epsilon"] is None:
        return "none stated"
    whom = row["epsilon_guards"] or "of several kinds"
    weak = ", weak" if row["epsilon"] > WEAK_EPSILON else ""
    return f"{decimal(row['epsilon'])} (δ {decimal(row['epsilon_delta'])}, {whom}{weak})"


def apart_table(trade_offs: TradeOffs) -> TextTable | None:
    """Return how far settings are from the first and from the leader on the same seeds; None if there is no other."""
    labels = trade_offs.labels
    references = list(dict.fromkeys(label for label in (*labels[:1], trade_offs.leader) if label))
    if len(labels) < 2:  # noqa: PLR2004 - a pair
        return None
    asked = [(label, reference) for reference in references for label in labels if label != reference]
    # The same two in the other order are no further test.
    tested = [pair for place, pair in enumerate(asked) if pair[::-1] not in asked[:place]]
    found = trade_offs.pairs(tested)
    rows = tuple((label, *(_apart(trade_offs, found, (label, other)) for other in references)) for label in labels)
    caption = (
        f"{measure.heading(trade_offs.metric)} against others on the same seeds: difference, 95 % interval; told apart "
        "among all of this table (Holm)"
    )
    return TextTable(caption, ("Setting", *(f"Against {name}" for name in references)), rows)


def _apart(trade_offs: TradeOffs, pairs: Pairs, pair: tuple[str, str]) -> str:
    if pair[0] == pair[1]:
        return NOTHING
    metric, found = trade_offs.metric, trade_offs.better(*pair)
    sign = 1.0 if metric.goal == "max" else -1.0
    if found.seeds < FEWEST:
        told = measure.difference(metric, sign * found.mean)
        return f"{told} ({plural(found.seeds, 'seed')})" if found.seeds else NOTHING
    _, p = pairs[pair if pair in pairs else pair[::-1]]
    verdict = _verdict(alone=found.is_told_apart, at_once=is_told_apart(p))
    return measure.difference(metric, sign * found.mean, *sorted((sign * found.low, sign * found.high))) + verdict


def _verdict(*, alone: bool, at_once: bool) -> str:
    if at_once:
        return ""
    return ", told apart only by itself" if alone else ", not told apart"


def same_result_table(study: Study) -> TextTable | None:
    """Return what each setting had spent for the same value of the metric; None if half of the runs share none."""
    found = study.same_result.rows
    if found.is_empty():
        return None
    rows = tuple(
        (row["label"], f"{row['reached']} of {row['seeds']}", *(_spent(row, name, kind) for name, kind in _PRICES))
        for row in found.iter_rows(named=True)
    )
    caption = f"What {_target(study)} of the server's model had cost, 95 % interval"
    if found["reached"].sum() < found["seeds"].sum():
        caption += "; a run that fell short would have cost at least all that it spent, so the mean has no upper end"
    return TextTable(caption, ("Setting", "Reached", "Uplink", "Energy", "Virtual time"), rows, frozenset(range(1, 5)))


_PRICES: Final = (("up_bytes", "bytes"), ("energy_j", "energy"), ("time_s", "time"))


def _target(study: Study) -> str:
    target = study.same_result.target
    share = None if target is None else 100 * target
    return measure.phrase(study.metric, target, 0 if share is None or math.isclose(share, round(share)) else 1)


def _spent(row: dict[str, Any], name: str, kind: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if row["reached"] < row["seeds"]:
        above = f" (mean above {quantity(low, kind)})" if low is not None else ""
        return f"at least {quantity(row[name], kind)} in these seeds{above}"
    interval = band(low, high, kind)
    return f"{quantity(row[name], kind)} ({interval})" if interval else quantity(row[name], kind)


def dearer_table(study: Study) -> TextTable | None:
    """Return what settings cost more than the first for the same result; None if there is none, or no other."""
    labels = study.same_result.rows["label"].to_list()
    if len(labels) < 2:  # noqa: PLR2004 - a pair
        return None
    pairs = [(label, labels[0]) for label in labels[1:]]
    columns = [(study.same_result.dearer(name, pairs), kind) for name, kind in _PRICES]
    rows = tuple((pair[0], *(_dearer(found[pair], kind) for found, kind in columns)) for pair in pairs)
    caption = (
        f"{capitalised(_target(study))}: what it costs more than {labels[0]} on the same seeds, 95 % interval; "
        "told apart among all of its column (Holm)"
    )
    return TextTable(caption, ("Setting", "Uplink", "Energy", "Virtual time"), rows, frozenset(range(1, 4)))


def _dearer(one: Dearer, kind: str) -> str:
    found = one.found
    if math.isinf(one.low) and math.isinf(one.high):
        return "neither got there in every seed"
    if not found.seeds:
        return NOTHING
    bound, ends = (
        ("at least ", f"above {_more(one.low, kind)}")
        if math.isinf(one.high)
        else ("at most ", f"below {_more(one.high, kind)}")
        if math.isinf(one.low)
        else ("", f"{_more(one.low, kind)} to {_more(one.high, kind)}")
    )
    told = f"{bound}{_more(found.mean, kind)}"
    if found.seeds < FEWEST:
        return f"{told} ({plural(found.seeds, 'seed')})"
    return f"{told} ({ends}){_verdict(alone=one.low > 0 or one.high < 0, at_once=one.is_told_apart)}"


def _more(value: float, kind: str) -> str:
    return f"{'+' if value >= 0 else measure.MINUS}{quantity(abs(value), kind)}"


def _to_target(row: dict[str, Any]) -> str:
    """Say when the server's model was as good as wanted, or in how many of the seeds it was."""
    if row["time_to_target_s"] is not None:
        interval = band(row["time_to_target_s_low"], row["time_to_target_s_high"], "time")
        return quantity(row["time_to_target_s"], "time") + (f" ({interval})" if interval else "")
    return NOTHING if row["reached"] is None else f"{row['reached']} of {plural(row['seeds'], 'seed')}"


def _fronts(names: Sequence[str], every: int) -> str:
    return "all" if len(names) == every else ",\u00a0".join(names) or NOTHING


def interval_text(metric: Metric, row: dict[str, Any]) -> str:
    """Return the metric's interval of one of a study's settings; "" for fewer than three seeds."""
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    return "" if low is None or high is None else f"{measure.text(metric, low)} to {measure.text(metric, high)}"
