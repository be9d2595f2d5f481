"""Train, then roll out, on one page: what a campaign takes, and, where a rollout was rehearsed, how that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report import measure, rollout_answer, rollout_page, tables
from fedlite.report.answer import judged
from fedlite.report.figure import TextTable
from fedlite.report.figures import calendar, egress, learning
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, Tile
from fedlite.report.words import NOTHING, count, percent, plural, quantity
from fedlite.units import WEEK_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.learning.objectives import Metric
    from fedlite.report.rollout_data import RolloutData
    from fedlite.report.run_data import RunData

Answers = dict[str, Any]

_WHY = {
    "excluded": "unfit",
    "never_came": "never came",
    "never_asked": "not asked",
    "never_back": "not back",
    "heard": "heard",
}


def campaign_page(run: RunData, found: Answers, rollout: RolloutData | None) -> Page:
    """Return the page.

    Parameters
    ----------
    run : RunData
    found : dict
        What `compose.campaign_answers` says of it.
    rollout : RolloutData, optional
        A rehearsed plan.
    """
    told = run.summary["calendar"]
    curve = tables.learning_curve(run.rounds, run.main)
    blocks = [key_numbers(run, found), calendar.for_users(told, found["target"]["time_s"] or float("nan"))]
    return Page(
        title=found["name"],
        kind="A campaign: train, then roll out" if rollout else "A campaign: what training takes",
        answer=_answer(run, found),
        remark=safe_join([_bias_sentence(run, found), *(f" {line}." for line in found["unanswered"])]),
        tiles=_tiles(run, found),
        sections=[
            Section("training", "Train", "What the campaign takes, of its users and of the server.", blocks),
            Section("target", "Until the target", None, [learning.against_costs(curve, run.main, judged(run.summary))]),
            Section("heard", "Whom it never heard", _bias_sentence(run, found), [never_heard(found)]),
            Section("server", "What the server sends", _sent(found), [egress.over_time(run, found["lasted_s"])]),
            Section("calendar", "Over the day", None, [calendar.over_the_day(told)]),
            *(_rolled_out(rollout) if rollout else []),
        ],
    )


def text_tables(run: RunData, found: Answers) -> Iterator[TextTable]:
    """Yield what a terminal shows of the training."""
    yield key_numbers(run, found)
    yield never_heard(found)


def _answer(run: RunData, found: Answers) -> Safe:
    target, week = found["target"], found["week"]
    return safe_join(
        [
            tag("strong", plural(found["devices"], "device")),
            " ",
            *_reached(_metric(run, found), target),
            f" A user spends {quantity(week['data_bytes']['mean'], 'bytes')} and ",
            f"{percent(week['battery_share']['mean'], 2)} of a battery a {week['per']}; ",
            f"the server sends {quantity(found['egress']['down_bytes'], 'bytes')}.",
        ]
    )


def _metric(run: RunData, found: Answers) -> Metric:
    return next((one for one in run.metrics if one.name == found["target"]["metric"]), run.main)


def _reached(metric: Metric, target: Answers) -> tuple[Safe | str, ...]:
    if target["value"] is None:
        return (f"train a model of {measure.phrase(metric, target['last'])}.",)
    wanted = measure.phrase(metric, target["value"])
    if target["days"] is None:
        return (f"never reach {wanted}: the best is {measure.text(metric, target['best'])}.",)
    return (f"reach {wanted} after ", tag("strong", quantity(target["time_s"], "time")), ".")


def _tiles(run: RunData, found: Answers) -> list[Tile]:
    metric, target, week, sent = _metric(run, found), found["target"], found["week"], found["egress"]
    wanted = "no target" if target["value"] is None else f"to {measure.phrase(metric, target['value'])}"
    per = week["per"]
    return [
        Tile("Until the target", quantity(target["time_s"], "time"), wanted),
        Tile(f"Data per user and {per}", quantity(week["data_bytes"]["mean"], "bytes"), _p95(week, "data_bytes")),
        Tile(f"Battery per user and {per}", percent(week["battery_share"]["mean"], 2), _p95(week, "battery_share")),
        Tile("Never heard from", percent(found["never_heard"]["share"]), f"of {plural(found['devices'], 'device')}"),
        Tile("Server sends", quantity(sent["down_bytes"], "bytes"), f"at most {quantity(sent['peak_bps'], 'rate')}"),
    ]


def _p95(week: Answers, name: str) -> str:
    value = week[name]["p95"]
    return f"95th percentile {percent(value, 2) if name.endswith('share') else quantity(value, 'bytes')}"


def key_numbers(run: RunData, found: Answers) -> TextTable:
    """Return the answers as a table that can be pasted."""
    metric, target, week, sent = _metric(run, found), found["target"], found["week"], found["egress"]
    per, bias, silent, devices = week["per"], found["bias"], found["never_heard"], found["devices"]
    wanted = "Until the target" if target["value"] is None else f"Until {measure.phrase(metric, target['value'])}"
    reached = "never" if target["value"] is not None and target["days"] is None else quantity(target["time_s"], "time")
    rows = [
        (wanted, reached, f"round {count(target['round'])} of {count(found['rounds'])}" if target["days"] else ""),
        ("The run lasted", quantity(found["lasted_s"], "time"), measure.phrase(metric, target["last"])),
        *(
            (f"{name} per user and {per}", *(quantity(week[key][of], dimension) for of in ("mean", "p95")))
            for name, key, dimension in (
                ("Data", "data_bytes", "bytes"),
                ("Paid data", "metered_bytes", "bytes"),
                ("Energy", "energy_j", "energy"),
            )
        ),
        (f"Battery per user and {per}", *(_battery(week, of) for of in ("mean", "p95"))),
        ("Server sends", quantity(sent["down_bytes"], "bytes"), _a_day(sent)),
        ("Server sends at most", quantity(sent["peak_bps"], "rate"), _when(sent)),
        ("Devices never heard from", count(silent["devices"]), f"{percent(silent['share'])} of {count(devices)}"),
        *_bias_rows(run.main, bias),
    ]  # fmt: skip
    stretched = per == "week" and found["lasted_s"] < WEEK_S
    weeks = f"; weeks are taken from {quantity(found['lasted_s'], 'time')}" if stretched else ""
    return TextTable(
        f"{found['name']}: {plural(devices, 'device')}, {plural(found['rounds'], 'round')}{weeks}",
        ("", "Mean or total", "95th percentile, or what else"),
        tuple(rows),
        frozenset({1}),
    )


def _battery(week: Answers, of: str) -> str:
    return f"{quantity(week['battery_j'][of], 'energy')} ({percent(week['battery_share'][of], 2)})"


def _a_day(sent: Answers) -> str:
    """Return it in words; nothing for a run of less than a day."""
    return "" if sent["per_day_bytes"] is None else f"{quantity(sent['per_day_bytes'], 'bytes')} a day"


def _when(sent: Answers) -> str:
    return "" if sent["peak_at_s"] is None else f"{quantity(sent['peak_at_s'], 'time')} after the start"


def _bias_rows(metric: Metric, bias: Answers) -> Iterator[tuple[str, str, str]]:
    for key, words in (("heard", "heard from"), ("never", "never heard from")):
        if bias[key]["clients"]:
            mean, clients = measure.text(metric, bias[key]["mean"]), plural(bias[key]["clients"], "client")
            yield f"{measure.heading(metric)} where {words}", mean, clients
    if bias["heard"]["clients"] and not bias["never"]["clients"]:
        yield "Where never heard from", NOTHING, "everybody was heard from"


def _bias_sentence(run: RunData, found: Answers) -> str:
    """Return what it makes that some were never heard, in one sentence."""
    bias, metric = found["bias"], run.main
    heard, never = bias["heard"], bias["never"]
    if not heard["clients"] and not never["clients"]:
        return ""
    if not never["clients"]:
        return f"Every client was heard from, {count(heard['clients'])} in all: there is no such bias."
    if not heard["clients"]:
        return "No client was ever heard from."
    told = (
        f"The final model has {measure.phrase(metric, heard['mean'])} for the {count(heard['clients'])} clients that "
        f"it heard from and {measure.text(metric, never['mean'])} for the {count(never['clients'])} that it did not"
    )
    if bias["gap_se"] is None:
        return f"{told}: too few to tell a difference from chance."
    sure = abs(bias["gap"]) > _SURE * bias["gap_se"]
    gap, error = _points(metric, bias["gap"]), _points(metric, bias["gap_se"])
    return f"{told}: a difference of {gap} (standard error {error}), {'more' if sure else 'no more'} than chance makes."


_SURE = 2.0
"""Standard errors from which a difference is called one."""


def _points(metric: Metric, value: float) -> str:
    return measure.text(metric, value).replace("%", "points")


def _sent(found: Answers) -> str:
    sent = found["egress"]
    whole, answers = (quantity(sent[key], "bytes") for key in ("down_bytes", "check_in_bytes"))
    day, most = f", {_a_day(sent)}" if _a_day(sent) else "", quantity(sent["peak_bps"], "rate")
    return (
        f"{whole} in all{day}, and at most {most} at a time. Answers to check-ins, {answers} of the sum, are "
        "not in the rate: the record has no time of each."
    )


def never_heard(found: Answers) -> TextTable:
    """Return how many devices of each class were never heard from, and why."""
    rows = [
        (row["profile"], count(row["devices"]), *(count(row[key]) for key in _WHY))
        for row in found["never_heard"]["by_class"]
    ]
    silent = found["never_heard"]
    heard = found["devices"] - silent["devices"]
    rows.append(("all", count(found["devices"]), *(count({**silent, "heard": heard}[key]) for key in _WHY)))
    head = ("Class", "Devices", *_WHY.values())
    caption = "Devices: unfit for the job, never came, came and not asked, asked and not back, heard from"
    return TextTable(caption, head, tuple(rows), frozenset(range(1, len(head))))


def _rolled_out(rollout: RolloutData) -> list[Section]:
    """Return the chapters of the rehearsed plan, after one that says what comes of it."""
    told = Section("rollout", "Roll out", rollout_answer.answer(rollout), [rollout_page.worlds_table(rollout)])
    # The worlds are told already, and how to make the page stands at the other one.
    return [
        told,
        *(one for one in rollout_page.rollout_page(rollout).sections if one.id not in {"worlds", "reproduce"}),
    ]
