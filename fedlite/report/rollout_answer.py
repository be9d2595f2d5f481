"""The top of a rollout's page: one sentence that answers, one that warns, and the key numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Tile
from fedlite.report.rollout_rows import NEVER, share, time, told
from fedlite.report.words import count, listed, percent, quantity
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

_GOALS: Final = (("time_to_95_s", "95 %"), ("time_to_90_s", "90 %"), ("time_to_50_s", "half"))
"""Shares of which the first that is reached in the median is told."""
_MOST_WORLDS: Final = 2
_ALWAYS: Final = 0.995
_RARELY: Final = 0.05
_FAR: Final = 2.0
_SHOWN: Final = 0.0005
"""Shares below it are written as 0.0 %."""


def good_world(data: RolloutData) -> World | None:
    """Return the first world in which nothing is wrong."""
    return next((world for world in data.worlds if not world.is_bad), None)


def _bad_worlds(data: RolloutData) -> list[World]:
    """Return the worlds in which something is wrong, the farthest reaching first."""
    bad = [world for world in data.worlds if world.is_bad]
    return sorted(bad, key=lambda world: -(world.told["blast_radius"]["devices"]["p50"] or 0.0))


def answer(data: RolloutData) -> Safe:
    """Return how long a good model takes, and whom a bad one reaches before the stop."""
    parts: list[Safe | str] = []
    if (good := good_world(data)) is not None:
        parts += [f"In the {good.name} world ", *_served(data, good)]
    for world in _bad_worlds(data)[:_MOST_WORLDS]:
        parts += ["; in " if parts else "In ", *_reached(data, world)]
    return safe_join([*parts, "."])


def _served(data: RolloutData, world: World) -> list[Safe | str]:
    devices = count(data.devices_of())
    for key, words in _GOALS:
        if (when_s := world.told[key]["p50"]) is not None:
            at_end = "" if words.startswith("95") else f" and {_at_end(data, world)} in the end"
            return [
                tag("strong", f"{words} of {devices}"),
                " devices have it after ",
                tag("strong", time(when_s)),
                at_end,
            ]
    return ["only ", tag("strong", f"{_at_end(data, world)} of {devices}"), " devices ever have it"]


def _at_end(data: RolloutData, world: World) -> str:
    return share(float(data.coverage(world)[1, -1]))


def _reached(data: RolloutData, world: World) -> list[Safe | str]:
    blast = world.told["blast_radius"]["devices"]
    devices, bad = blast["p50"] or 0.0, world.told["bad_classes"]
    of = sum(data.classes[name] for name in bad)
    where = listed(bad) if len(bad) < len(data.classes) else "devices"
    reached = [
        f"{world.name} a bad build reaches ",
        tag("strong", count(devices)),
        f" of {count(of)} {where} ",
        _at_worst(blast),
    ]
    detected = float(world.told["p_detect"])
    if detected < _RARELY:
        return [*reached, f"and is stopped in {percent(detected, 0)} of the rehearsals"]
    when = time(world.told["detect_time_s"]["p50"])
    if detected > _ALWAYS:
        return [*reached, "before it is stopped, after ", tag("strong", when)]
    return [*reached, f"and is stopped in {percent(detected, 0)} of the rehearsals, after {when}"]


def _at_worst(blast: dict[str, float | None]) -> str:
    """Return what one rehearsal in twenty exceeds, where that is far from the median."""
    middle, high = blast["p50"] or 0.0, blast["p95"] or 0.0
    return f"({count(high)} at least in one rehearsal of twenty) " if high > _FAR * max(middle, 1.0) else ""


def remark(data: RolloutData) -> Safe:
    """Return how many never get a good model and why, and how often it is stopped by mistake."""
    good = good_world(data)
    said = [_false_alarms(good)] if good is not None and data.summary["gates"] else []
    if not data.summary["gates"]:
        said.append("No gate watches this rollout: nothing stops a bad model.")
    if good is not None:
        said.append(_never(good))
    said += [f"Mind: {told_}." for told_ in data.summary.get("remarks", [])]
    return safe_join([" ".join(said)])


def _false_alarms(good: World) -> str:
    alarms = float(good.told["p_false_abort"])
    if not alarms:
        return "No rehearsal of a good model was stopped."
    return f"A good model is stopped by mistake in {percent(alarms)} of the rehearsals."


def _never(good: World) -> str:
    shares = {name: band["p50"] or 0.0 for name, band in good.told["never"].items()}
    reasons = sorted((name for name in shares if shares[name] >= _SHOWN), key=lambda name: -shares[name])
    if not reasons:
        return "Every device gets it."
    told_ = [f"{percent(shares[name])}: {_clause(State(name))}" for name in reasons]
    return f"Who does not get it in a good world: {'; '.join(told_[:4])}."


def _clause(state: State) -> str:
    text = state.reason.rstrip(".")
    return text[:1].lower() + text[1:]


def tiles(data: RolloutData) -> list[Tile]:
    """Return the key numbers of the good world and the worst of the bad ones."""
    good, bad = good_world(data), _bad_worlds(data)
    made: list[Tile] = []
    if good is not None:
        times = {key: good.told[f"time_to_{key}_s"]["p50"] for key in (50, 90, 95)}
        made += [
            Tile(f"{key} % have it after", NEVER if value is None else time(value), f"in the {good.name} world")
            for key, value in times.items()
        ]
        made.append(Tile("In the end", _at_end(data, good), f"of {count(data.devices_of())} devices"))
    if bad:
        worst = bad[0]
        blast = told(worst.told["blast_radius"]["devices"], count)
        made += [
            Tile("Bad build reaches", blast.median, f"{blast.band or 'always'}, {worst.name}"),
            Tile("Least often stopped", *_least(bad)),
        ]
    if good is not None:
        made += [Tile("Stopped by mistake", percent(good.told["p_false_abort"]), "of good rehearsals"), *_costs(good)]
    return made


def _least(bad: list[World]) -> tuple[str, str]:
    least = min(bad, key=lambda world: float(world.told["p_detect"]))
    return percent(least.told["p_detect"]), f"of rehearsals of {least.name}"


def _costs(good: World) -> list[Tile]:
    def middle(band: Any, dimension: str) -> str:
        return quantity(band["p50"], dimension)

    bytes_ = good.told["bytes"]
    return [
        Tile("Metered bytes", middle(bytes_["metered"], "bytes"), f"unmetered {middle(bytes_['unmetered'], 'bytes')}"),
        Tile("Server at most", middle(good.told["server_peak_bps"], "rate"), "all downloads at once"),
        Tile("Downloads", middle(good.told["energy"]["delivery_j"], "energy"), "of the devices' energy"),
        Tile("Worst class", percent(good.told["accuracy"]["worst"]["p50"]), "accuracy at the horizon"),
    ]
