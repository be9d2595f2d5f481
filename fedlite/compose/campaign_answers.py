"""What a finished campaign says to whoever plans one: days, users' costs, whom it never heard, what the server sends.

Everything is derived from what the run has recorded; which device has which profile is drawn again from its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedlite.compose.app_request import APP_FILE
from fedlite.compose.calendar import spread
from fedlite.compose.fleet import drawn
from fedlite.compose.target import SHORTHAND
from fedlite.errors import FedliteError, InvalidFileError, Problem
from fedlite.fleet.outcomes import CONTRIBUTED
from fedlite.report import server_load
from fedlite.report.figures.calendar import times
from fedlite.report.tables import downloads
from fedlite.report.words import number
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.strict_yaml import Place
from fedlite.units import DAY_S, WEEK_S

if TYPE_CHECKING:
    from fedlite.learning.objectives import Metric
    from fedlite.report.run_data import RunData
    from fedlite.scenario.schema import FleetScenario
    from fedlite.scenario.strict_yaml import Document

Floats = NDArray[np.float64]
Answers = dict[str, Any]

NO_PROTOCOL: Final = "got 'none', under which devices are there at once and days, weeks and egress mean nothing"
_ADD_PROTOCOL: Final = "write 'protocol: production'"
_LEAST: Final = 2
"""Clients of which a spread can be told."""


@dataclass(frozen=True)
class Devices:
    """What the record says of each of N devices. All arrays have shape (N,).

    `profiles` are the names that `profile_of` numbers. `excluded`: a job can never run there. `came`: check-ins.
    `asked`: jobs. `heard`: whether any job came back.
    """

    profiles: tuple[str, ...]
    profile_of: NDArray[np.int16]
    excluded: NDArray[np.bool_]
    came: NDArray[np.int64]
    asked: NDArray[np.int64]
    heard: NDArray[np.bool_]
    data_bytes: Floats
    energy_j: Floats


def needs_calendar(scenario: FleetScenario, document: Document) -> None:
    """Refuse a scenario whose devices do not check in, before it is run.

    Raises
    ------
    InvalidFileError
        With the place of its protocol, or of the fleet that has none.
    """
    if scenario.protocol is not None:
        return
    whole = Place(document.path)
    place = document.values.get(("fleet", "protocol")) or document.keys.get(("fleet",), whole)
    raise InvalidFileError(
        [Problem(place.path, place.line, place.column, "fleet.protocol", NO_PROTOCOL, _ADD_PROTOCOL)]
    )


def answers(run: RunData, target: float | None = None) -> Answers:
    """Return what a finished campaign answers, as plain values; what it cannot, `unanswered` says.

    Parameters
    ----------
    run : RunData
    target : float, optional
        Value of the main metric, in place of the scenario's.

    Raises
    ------
    FedliteError
        If its devices did not check in.
    """
    scenario, told = load_fleet(run.path / "scenario.yaml"), run.summary.get("calendar")
    if scenario.protocol is None or not told:
        where = f"{run.path / 'scenario.yaml'}: fleet.protocol"
        raise FedliteError(f"{where}: {NO_PROTOCOL}; run it again with --set fleet.protocol=production")
    ledger = run.clients.select("device", "outcome", "down_bytes", "up_bytes", "energy_j").collect()
    devices = _devices(run, scenario, ledger)
    found = {
        "name": run.name,
        "run_dir": str(run.path),
        "devices": len(devices.heard),
        "rounds": run.summary["rounds"],
        "lasted_s": told["lasted_s"],
        "target": _target(run, scenario, target),
        "week": _week(told, devices),
        "never_heard": _never_heard(devices),
        "bias": _bias(run, devices),
        "egress": _egress(run, ledger, scenario.fleet.start_s, told["lasted_s"]),
    }
    return {**found, "unanswered": list(_unanswered(run, found))}


def _devices(run: RunData, scenario: FleetScenario, ledger: pl.DataFrame) -> Devices:
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    profile_of = drawn(scenario.fleet, scenario.seed, profiles).profile_of
    # A class without a device has no row.
    told = dict(zip(run.fleet["profile"], run.fleet["excluded_reason"], strict=True))
    left_out = [bool(told.get(profile.name)) for profile in profiles]
    if (run.path / APP_FILE).exists():
        left_out = [False] * len(profiles)  # an app is asked wherever it is
    n, device = len(profile_of), ledger["device"].to_numpy()
    visits = pl.read_parquet(run.path / "check_ins.parquet")
    came, moved = visits["check_ins"].to_numpy(), (ledger["down_bytes"] + ledger["up_bytes"]).to_numpy()
    # All check-ins are alike, and what jobs did not move they did.
    beside = run.summary["down_bytes"] + run.summary["up_bytes"] - int(moved.sum())
    each_bytes = beside / max(int(came.sum()), 1)
    back = ledger["outcome"].is_in([str(outcome) for outcome in CONTRIBUTED]).to_numpy()
    return Devices(
        profiles=tuple(profile.name for profile in profiles),
        profile_of=profile_of,
        excluded=np.array(left_out)[profile_of],
        came=came,
        asked=np.bincount(device, minlength=n),
        heard=np.bincount(device[back], minlength=n) > 0,
        data_bytes=np.bincount(device, moved, minlength=n) + each_bytes * came,
        energy_j=np.bincount(device, ledger["energy_j"].to_numpy(), minlength=n) + visits["energy_j"].to_numpy(),
    )


def _target(run: RunData, scenario: FleetScenario, asked: float | None) -> Answers:
    """Return when the metric was first as good as wanted: `value` is None if nobody said what is."""
    metric, value = _wanted(run, scenario, asked)
    known = run.rounds.filter(pl.col(metric.name).is_finite()) if metric.name in run.rounds.columns else pl.DataFrame()
    values = known[metric.name] if known.height else pl.Series(dtype=pl.Float64)
    best = values.max() if metric.goal == "max" else values.min()
    last = float(values[-1]) if known.height else None
    answer: Answers = {"metric": metric.name, "value": value, "best": best, "last": last}
    good = None if value is None else values >= value if metric.goal == "max" else values <= value
    if good is None or not good.any():
        return {**answer, "round": None, "time_s": None, "days": None}
    row = known.row(int(good.arg_max() or 0), named=True)
    time_s = row["end_s"] - scenario.fleet.start_s
    return {**answer, "round": row["round"], "time_s": time_s, "days": time_s / DAY_S}


def _wanted(run: RunData, scenario: FleetScenario, asked: float | None) -> tuple[Metric, float | None]:
    training = scenario.training
    if asked is not None or training.target is not None or training.target_accuracy is None:
        return run.main, training.target if asked is None else asked
    named = SHORTHAND.removeprefix("target_")
    return next((one for one in run.metrics if one.name == named), run.main), training.target_accuracy


def _week(told: dict[str, Any], devices: Devices) -> Answers:
    """Return mean and p95 over users; of a run of less than a day what it took itself, with `per` "run"."""
    factor, may = times(told["lasted_s"], WEEK_S), ~devices.excluded
    spreads = {
        "data_bytes": spread(devices.data_bytes[may]),
        "metered_bytes": told["metered_bytes"],
        "energy_j": spread(devices.energy_j[may]),
        "battery_j": told["battery_j"],
        "battery_share": told["battery_share"],
    }
    scaled = {name: {key: value * factor for key, value in found.items()} for name, found in spreads.items()}
    return {"per": "week" if told["lasted_s"] >= DAY_S else "run", **scaled}


def _never_heard(devices: Devices) -> Answers:
    """Return who was never heard from, and why, by device class; each device counts under one reason."""
    came, asked = devices.came > 0, devices.asked > 0
    ends = {
        "excluded": devices.excluded,
        "never_came": ~devices.excluded & ~came & ~asked,
        "never_asked": ~devices.excluded & came & ~asked,
        "never_back": ~devices.excluded & asked & ~devices.heard,
        "heard": ~devices.excluded & devices.heard,
    }
    n = len(devices.profiles)
    counted = {name: np.bincount(devices.profile_of[who], minlength=n) for name, who in ends.items()}
    total = np.bincount(devices.profile_of, minlength=n)
    silent = len(devices.heard) - int(ends["heard"].sum())
    return {
        "devices": silent,
        "share": silent / len(devices.heard),
        **{name: int(counts.sum()) for name, counts in counted.items() if name != "heard"},
        "by_class": [
            {"profile": name, "devices": int(total[i]), **{key: int(counts[i]) for key, counts in counted.items()}}
            for i, name in enumerate(devices.profiles)
            if total[i]
        ],
    }


def _bias(run: RunData, devices: Devices) -> Answers:
    """Return how good the final model is for the clients of devices that were heard, and for the others.

    Every client counts once. A client whose data is on several devices was heard if any of them was. `gap` is heard
    minus never, `gap_se` its standard error were clients drawn at random.
    """
    tested = run.evaluation.filter((pl.col("device") >= 0) & pl.col(run.main.name).is_finite())
    clients = run.manifest.get("clients")
    of_client = np.flatnonzero(devices.heard) % clients if clients else np.flatnonzero(devices.heard)
    heard = tested["client" if clients else "device"].is_in(of_client.tolist()).to_numpy()
    values = tested[run.main.name].to_numpy().astype(np.float64)
    groups = {"heard": values[heard], "never": values[~heard]}
    told = {
        name: {"clients": len(found), "mean": float(found.mean()) if len(found) else None}
        for name, found in groups.items()
    }
    both = all(len(found) >= _LEAST for found in groups.values())
    variance = sum(found.var(ddof=1) / len(found) for found in groups.values()) if both else math.nan
    gap = groups["heard"].mean() - groups["never"].mean() if all(map(len, groups.values())) else math.nan
    return {
        "metric": run.main.name,
        **told,
        "gap": float(gap) if math.isfinite(gap) else None,
        "gap_se": math.sqrt(variance) if math.isfinite(variance) else None,
    }


def _egress(run: RunData, ledger: pl.DataFrame, start_s: float, lasted_s: float) -> Answers:
    """Return what the server sent. Answers to check-ins count in the sum, not in the peak: no table has their times."""
    time_s, rate_bps = server_load.steps(*downloads(run.clients))
    most = int(np.argmax(rate_bps)) if len(rate_bps) else None
    down_bytes = run.summary["down_bytes"]
    return {
        "down_bytes": down_bytes,
        "check_in_bytes": down_bytes - int(ledger["down_bytes"].sum()),
        "per_day_bytes": down_bytes * DAY_S / lasted_s if lasted_s >= DAY_S else None,
        "peak_bps": 0.0 if most is None else float(rate_bps[most]),
        "peak_at_s": None if most is None else float(time_s[most]) - start_s,
    }


def _unanswered(run: RunData, found: Answers) -> list[str]:
    """Return what cannot be answered, where that stands, and what would help."""
    target, bias, said = found["target"], found["bias"], []
    if target["value"] is None:
        where = f"{run.path / 'scenario.yaml'}: training.{SHORTHAND}: got none, so no day of reaching it"
        said.append(f"{where}; tell it with --target '80 %', or write it into the scenario")
    elif not math.isfinite(number(target["best"])):
        said.append(f"{target['metric']}: the run was never tested; set training.evaluate_every")
    if not bias["heard"]["clients"] and not bias["never"]["clients"]:
        said.append(
            "bias: the final model was not tested on clients that are on devices; "
            "leave report.per_client_evaluation on, and task.split at rows"
        )
    if found["week"]["per"] == "run":
        said.append("week: the run lasted less than a day, so users' costs are those of the run; train more rounds")
    return said
