"""Runs in MLflow: `mlflow.db` in a folder, an experiment `fedlite`, a metric per column of the table of rounds.

The time of a metric is the run's virtual time; parameters are the settings of the resolved scenario. Nothing is sent
anywhere: the store is a file of SQLite, and MLflow's own telemetry is switched off.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fedlite.compose.logs import About

EXPERIMENT: Final = "fedlite"
_KEY: Final = "fedlite.key"
_MS: Final = 1000
_MOST_PARAMETERS: Final = 100
"""That one batch takes."""


class Book:
    """One run of the experiment; a resumed run goes on with the one that it began."""

    def __init__(self, folder: Path, about: About) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        found = self._client.get_experiment_by_name(EXPERIMENT)
        artifacts = (folder.resolve() / "artifacts").as_uri()
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, artifacts)
        # A path may hold any quote, the language of searches may not.
        key = hashlib.blake2b(str(about.path.resolve()).encode(), digest_size=16).hexdigest()
        begun = [] if about.is_new else self._client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'")
        self._run = begun[0].info.run_id if begun else self._begin(experiment, key, about)
        self._client.update_run(self._run, status="RUNNING")
        steps = self._client.get_metric_history(self._run, "end_s")  # of every round
        self.last = max((metric.step for metric in steps), default=-1)

    def _begin(self, experiment: str, key: str, about: About) -> str:
        from mlflow.entities import Param

        tags = {_KEY: key, "fedlite.run": str(about.path.resolve())}
        run = self._client.create_run(experiment, run_name=about.path.name, tags=tags).info.run_id
        parameters = [Param(name, value) for name, value in about.settings.items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(run, params=parameters[start : start + _MOST_PARAMETERS])
        return str(run)

    def write(self, round_: int, time_s: float, values: Mapping[str, float]) -> None:
        """Write all values of a round in one batch."""
        from mlflow.entities import Metric

        time_ms = round(time_s * _MS)
        self._client.log_batch(self._run, [Metric(name, value, time_ms, round_) for name, value in values.items()])

    def close(self, *, finished: bool) -> None:
        """Say whether the run came to its end."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")
