"""From a finished app run to its directory: the same files as those of a scenario's run."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

import fedlite
from fedlite.compose.finished import Run
from fedlite.compose.telling import LIBRARIES, clients_per_second
from fedlite.devices import carbon
from fedlite.engine.task import digest
from fedlite.flower.app_exchange import PLAN
from fedlite.report.run_page import write_report
from fedlite.results.directory import FORMAT, RunDirectory, without_nan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.flower.app_dir import AppDirectory, RunConfig, Value
    from fedlite.flower.app_prices import Declared
    from fedlite.results.rounds import Rounds
    from fedlite.scenario.schema import FleetScenario

    Array = NDArray[Any]


@dataclass(frozen=True)
class AppStory:
    """Everything that an app run leaves to be told.

    `metrics` are the last ones under the app's own names, `counts` the work counted by shape of job; `names` and
    `final` are the last strategy's arrays, empty if the app ran none.
    """

    app: AppDirectory
    run_config: RunConfig
    fingerprint: str
    scenario: FleetScenario
    fleet: Fleet
    ledger: Ledger
    metrics: dict[str, float]
    rounds: Rounds
    names: Sequence[str]
    final: Sequence[Array]
    end_s: float
    wall_s: float
    engine: str
    backend: str
    counts: Mapping[str, Mapping[str, Any]]
    declared: Declared


def tell(story: AppStory, directory: RunDirectory) -> Run:
    """Write everything, the summary last: a directory with a summary is complete."""
    ledger = story.ledger.columns()
    directory.write_table("clients.parquet", ledger)
    directory.write_table("rounds.parquet", story.rounds.rows)
    directory.write_table("fleet.parquet", _fleet_rows(story, ledger))
    directory.write_table("evaluation.parquet", _no_evaluation())
    directory.write_model(story.names, story.final)
    directory.write_json("manifest.json", {**_manifest(story), "command": _command(story, directory)})
    directory.write_json("summary.json", _summary(story, ledger, str(directory.path)))
    directory.journal.unlink(missing_ok=True)
    write_report(directory.path)
    return Run(directory.path)


def _summary(story: AppStory, ledger: dict[str, Array], run_dir: str) -> dict[str, Any]:
    moved = ledger["up_bytes"] + ledger["down_bytes"]
    energy_j = float(ledger["energy_j"].sum())
    arrays = {
        f"{position} {name}": array for position, (name, array) in enumerate(zip(story.names, story.final, strict=True))
    }
    summary: dict[str, Any] = without_nan(
        {
            "run_dir": run_dir,
            "name": story.app.name,
            "format": FORMAT,
            "digest": hashlib.sha256(f"{digest({}, arrays)} {story.ledger.digest()}".encode()).hexdigest(),
            "seed": story.scenario.seed,
            "rounds": len(story.rounds.rows) - 1,
            "virtual_time_s": story.end_s - story.scenario.fleet.start_s,
            "wall_time_s": story.wall_s,
            "energy_j": energy_j,
            "energy_low_j": float(ledger["energy_low_j"].sum()),
            "energy_high_j": float(ledger["energy_high_j"].sum()),
            "carbon_g": float(carbon.grams(energy_j, story.scenario.fleet.carbon_grid)),
            "up_bytes": int(ledger["up_bytes"].sum()),
            "down_bytes": int(ledger["down_bytes"].sum()),
            "metered_bytes": int(moved[ledger["metered"]].sum()),
            "metrics": _metrics(story),
            "outcomes": dict(sorted(Counter(ledger["outcome"].tolist()).items())),
            "clients_per_second": clients_per_second(story.rounds.rows),
            "devices": len(story.fleet),
            "excluded": [],
            "epsilon": None,
            "backend": story.backend,
            "engine": story.engine,
            "trainer_modes": [],
        }
    )
    return summary


def _metrics(story: AppStory) -> dict[str, float]:
    """Return the app's own metrics, and beside them those of the tables that some row has."""
    columns = {}
    for name in ("accuracy", "loss", "macro_f1", "train_loss"):
        values = [float(row[name]) for row in story.rounds.rows if not np.isnan(row[name])]
        if values:
            columns[name] = values[-1]
    return {**columns, **story.metrics}


def _fleet_rows(story: AppStory, ledger: dict[str, Array]) -> list[dict[str, Any]]:
    """Return one row per profile; what a job takes is known of the profiles that had one."""
    train = ledger["kind"] == "train"
    profiles = story.fleet.population.profiles
    counts = np.bincount(story.fleet.population.profile_of, minlength=len(profiles)).tolist()
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
        "format": FORMAT,
        "fedlite": fedlite.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "seed": story.scenario.seed,
        "engine": story.engine,
        "app": {
            "folder": str(story.app.path),
            "server": story.app.server,
            "client": story.app.client,
            "run_config": story.run_config,
            "fingerprint": story.fingerprint,
        },
        "counted_work": list(story.counts.values()),
    }
