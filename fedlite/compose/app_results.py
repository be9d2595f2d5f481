"""What a Flower app's campaign adds to the record that every run leaves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose.app_rounds import in_columns
from fedlite.compose.fleet_rows import ClassFacts, device_counts, fleet_rows
from fedlite.compose.record import Particulars
from fedlite.compose.round_log import metrics_of_rounds
from fedlite.flower.app_exchange import examples_of
from fedlite.report.measure import metric_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.compose.app_request import AppRequest
    from fedlite.compose.record import Record
    from fedlite.flower.app_dir import AppDirectory, Value
    from fedlite.flower.app_runtime import AppRuntime
    from fedlite.learning.objectives import Metric

    Array = NDArray[Any]


def app_particulars(
    app: AppDirectory,
    request: AppRequest,
    record: Record,
    runtime: AppRuntime,
    metrics: Sequence[Metric],
) -> Particulars:
    """Return what is known of an app's run.

    Parameters
    ----------
    app, request, record
    runtime : AppRuntime
        What its clients did.
    metrics : sequence of Metric
        Those that apps may report; which this one did, the rounds say.
    """
    reported = metrics_of_rounds(record.rounds, metrics, in_columns(record.trained.metrics))
    return Particulars(
        fleet=fleet_rows(record, _classes(record, runtime)),
        evaluation=_evaluation(record, runtime, reported[0].name),
        manifest={
            "app": {
                "folder": str(app.path),
                "server": app.server,
                "client": app.client,
                "run_config": request.run_config,
            },
            "counted_work": list(runtime.counts.values()),
            "command": _command(app, request, record.directory.path / "scenario.yaml"),
        },
        summary={
            "metrics": _metrics(record),
            "trained": bool((record.ledger.columns()["kind"] == "train").any()),
            **metric_records(reported),
            "judged_by": "as the app tells it",
            "excluded": _excluded(record, runtime),
            "privacy": record.trained.privacy,
            "epsilon": record.trained.privacy,
            "uncounted": list(runtime.prices.uncounted),
            "trainer_modes": [],
        },
    )


def _metrics(record: Record) -> dict[str, float]:
    """Return the app's own metrics, and beside them those of the tables that some row has."""
    columns = in_columns(record.trained.metrics)  # numbers that are none too: the model was tested
    for name in (*record.rounds.metrics, "train_loss"):
        values = [float(row[name]) for row in record.rounds.rows if not np.isnan(row[name])]
        if values:
            columns[name] = values[-1]
    return {**columns, **record.trained.metrics}


def _classes(record: Record, runtime: AppRuntime) -> list[ClassFacts]:
    """Return one entry per profile; what a job takes is known of the profiles that had one."""
    ledger = record.ledger.columns()
    train = ledger["kind"] == "train"
    classes = []
    for profile, mine in zip(record.fleet.population.profiles, runtime.classes, strict=True):
        rows = train & (ledger["profile"] == profile.name)
        worked = rows & (ledger["train_s"] > 0)
        train_s = float(ledger["train_s"][worked].mean()) if worked.any() else float("nan")
        peak_bytes = int(ledger["peak_bytes"][rows].max(initial=0))
        classes.append(ClassFacts(profile, mine.plan, train_s, peak_bytes, runtime.misfits.get(profile.name, "")))
    return classes


def _excluded(record: Record, runtime: AppRuntime) -> list[dict[str, Any]]:
    """Return the classes on which the app can never run; unlike a scenario's own they are asked all the same."""
    return [
        {"profile": name, "devices": devices, "reason": runtime.misfits[name]}
        for name, devices in device_counts(record).items()
        if name in runtime.misfits
    ]


def _evaluation(record: Record, runtime: AppRuntime, metric: str) -> dict[str, Array]:
    """Return what the devices told of the model in the last round in which any tested it."""
    ledger = record.ledger.columns()
    told = (ledger["kind"] == "evaluate") & (ledger["outcome"] == "arrived")
    last = told & (ledger["round"] == ledger["round"][told].max(initial=-1))
    devices = np.unique(ledger["device"][last])
    found = [runtime.tested[device] for device in devices.tolist()]
    columns = [in_columns(metrics) for metrics in found]
    return {
        "client": np.array([runtime.node_config(device)["partition-id"] for device in devices.tolist()], np.int32),
        "device": devices.astype(np.int32),
        "samples": np.array([examples_of(metrics) for metrics in found], np.int32),
        **{name: np.array([each.get(name, np.nan) for each in columns], np.float64) for name in (metric, "loss")},
    }


def _command(app: AppDirectory, request: AppRequest, scenario: Path) -> str:
    """Return the command line that makes the run again."""
    declared = request.declared
    config = " ".join(f"{key}={_toml(value)}" for key, value in request.run_config.items())
    words = ["fedlite", "app", str(app.path), "--fleet", str(scenario)]
    words += ["--run-config", config] if config else []
    words += [word for kind, macs in declared.macs.items() for word in ("--macs", f"{kind}={macs!r}")]
    words += [] if declared.memory_bytes is None else ["--memory", f"{declared.memory_bytes:.0f} B"]
    return shlex.join([*words, "--json"])


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)
