"""What a Flower app's campaign adds to the record that every run leaves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose.fleet_rows import ClassFacts, fleet_rows
from fedlite.compose.record import Particulars
from fedlite.compose.round_log import metrics_of_rounds
from fedlite.flower.app_exchange import PLAN
from fedlite.report.measure import metric_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.compose.app_request import AppRequest
    from fedlite.compose.record import Record
    from fedlite.flower.app_dir import AppDirectory, Value
    from fedlite.learning.objectives import Metric

    Array = NDArray[Any]


def app_particulars(
    app: AppDirectory,
    request: AppRequest,
    record: Record,
    counted_work: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[Metric],
) -> Particulars:
    """Return what is known of an app's run.

    Parameters
    ----------
    app, request, record
    counted_work : mapping
        The work of one job, by shape of job.
    metrics : sequence of Metric
        Those that apps may report; which this one did, the rounds say.
    """
    reported = metrics_of_rounds(record.rounds, metrics)
    return Particulars(
        fleet=fleet_rows(record, _classes(record)),
        evaluation=_no_evaluation(reported[0].name),
        manifest={
            "app": {
                "folder": str(app.path),
                "server": app.server,
                "client": app.client,
                "run_config": request.run_config,
            },
            "counted_work": list(counted_work.values()),
            "command": _command(app, request, record.directory.path / "scenario.yaml"),
        },
        summary={
            "metrics": _metrics(record),
            **metric_records(reported),
            "excluded": [],
            "privacy": None,
            "epsilon": None,
            "trainer_modes": [],
        },
    )


def _metrics(record: Record) -> dict[str, float]:
    """Return the app's own metrics, and beside them those of the tables that some row has."""
    columns = {}
    for name in (*record.rounds.metrics, "train_loss"):
        values = [float(row[name]) for row in record.rounds.rows if not np.isnan(row[name])]
        if values:
            columns[name] = values[-1]
    return {**columns, **record.trained.metrics}


def _classes(record: Record) -> list[ClassFacts]:
    """Return one entry per profile; what a job takes is known of the profiles that had one."""
    ledger = record.ledger.columns()
    train = ledger["kind"] == "train"
    classes = []
    for profile in record.fleet.population.profiles:
        mine = train & (ledger["profile"] == profile.name)
        worked = mine & (ledger["train_s"] > 0)
        train_s = float(ledger["train_s"][worked].mean()) if worked.any() else float("nan")
        classes.append(ClassFacts(profile, PLAN, train_s, int(ledger["peak_bytes"][mine].max(initial=0))))
    return classes


def _no_evaluation(metric: str) -> dict[str, Array]:
    """Return the empty table: how good the model is for whom, an app's own messages say or nobody."""
    kinds = {"client": np.int32, "device": np.int32, "samples": np.int32, metric: np.float64, "loss": np.float64}
    return {name: np.empty(0, dtype=kind) for name, kind in kinds.items()}


def _command(app: AppDirectory, request: AppRequest, scenario: Path) -> str:
    """Return the command line that makes the run again."""
    declared = request.declared
    config = " ".join(f"{key}={_toml(value)}" for key, value in request.run_config.items())
    words = ["fedlite", "app", str(app.path), "--fleet", str(scenario)]
    words += ["--run-config", config] if config else []
    words += [] if declared.macs is None else ["--macs", repr(declared.macs)]
    words += [] if declared.memory_bytes is None else ["--memory", f"{declared.memory_bytes:.0f} B"]
    return shlex.join([*words, "--json"])


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)
