"""From a finished app run to its directory: what is told beyond the record that every run leaves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.flower.app_exchange import PLAN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.compose.finished import Run
    from fedlite.compose.record import Record
    from fedlite.flower.app_dir import AppDirectory, RunConfig, Value
    from fedlite.flower.app_prices import Declared
    from fedlite.results.directory import RunDirectory

    Array = NDArray[Any]


@dataclass(frozen=True)
class AppStory:
    """What an app's run leaves to be told beside its record.

    `metrics` are the last ones under the app's own names, `counts` the work counted by shape of job.
    """

    record: Record
    app: AppDirectory
    run_config: RunConfig
    fingerprint: str
    metrics: dict[str, float]
    counts: Mapping[str, Mapping[str, Any]]
    declared: Declared


def tell(story: AppStory, directory: RunDirectory) -> Run:
    """Write the run directory."""
    told: dict[str, Any] = {"metrics": _metrics(story), "excluded": [], "epsilon": None, "trainer_modes": []}
    manifest = {**_manifest(story), "command": _command(story, directory)}
    return story.record.write(
        directory,
        fleet=_fleet_rows(story),
        evaluation=_no_evaluation(),
        manifest=story.record.manifest(manifest),
        summary=story.record.summary(str(directory.path), story.app.name, told),
    )


def _metrics(story: AppStory) -> dict[str, float]:
    """Return the app's own metrics, and beside them those of the tables that some row has."""
    columns = {}
    for name in ("accuracy", "loss", "macro_f1", "train_loss"):
        values = [float(row[name]) for row in story.record.rounds.rows if not np.isnan(row[name])]
        if values:
            columns[name] = values[-1]
    return {**columns, **story.metrics}


def _fleet_rows(story: AppStory) -> list[dict[str, Any]]:
    """Return one row per profile; what a job takes is known of the profiles that had one."""
    ledger = story.record.ledger.columns()
    train = ledger["kind"] == "train"
    profiles = story.record.fleet.population.profiles
    counts = np.bincount(story.record.fleet.population.profile_of, minlength=len(profiles)).tolist()
    rows = []
    for profile, count in zip(profiles, counts, strict=True):
        mine = train & (ledger["profile"] == profile.name)
        worked = mine & (ledger["train_s"] > 0)
        rows.append(
            {
                "profile": profile.name,
                "tier": str(profile.tier),
                "plan": PLAN,
                "devices": count,
                "excluded_reason": "",
                "plan_reason": "",
                "train_s_per_round": float(ledger["train_s"][worked].mean()) if worked.any() else float("nan"),
                "peak_bytes": int(ledger["peak_bytes"][mine].max(initial=0)),
                "job_ram_bytes": int(profile.job_ram_bytes.value),
                "participations": int(mine.sum()),
                "arrived": int((mine & (ledger["outcome"] == "arrived")).sum()),
            }
        )
    return rows


def _no_evaluation() -> dict[str, Array]:
    """Return the empty table: how good the model is for whom, an app's own messages say or nobody."""
    kinds = {"client": np.int32, "device": np.int32, "samples": np.int32, "accuracy": np.float64, "loss": np.float64}
    return {name: np.empty(0, dtype=kind) for name, kind in kinds.items()}


def _command(story: AppStory, directory: RunDirectory) -> str:
    """Return the command line that makes the run again."""
    config = " ".join(f"{key}={_toml(value)}" for key, value in story.run_config.items())
    words = ["fedlite", "app", str(story.app.path), "--fleet", str(directory.path / "scenario.yaml")]
    words += ["--run-config", config] if config else []
    words += [] if story.declared.macs is None else ["--macs", repr(story.declared.macs)]
    words += [] if story.declared.memory_bytes is None else ["--memory", f"{story.declared.memory_bytes:.0f} B"]
    return shlex.join([*words, "--json"])


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _manifest(story: AppStory) -> dict[str, Any]:
    return {
        "app": {
            "folder": str(story.app.path),
            "server": story.app.server,
            "client": story.app.client,
            "run_config": story.run_config,
            "fingerprint": story.fingerprint,
        },
        "counted_work": list(story.counts.values()),
    }
