"""From a finished run to its directory: tables, summary, digest, manifest and page."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fedlite
from fedlite.compose.finished import Run
from fedlite.devices import carbon
from fedlite.engine.task import digest
from fedlite.privacy import accounting
from fedlite.report.run_page import write_report
from fedlite.results.directory import FORMAT, RunDirectory, without_nan
from fedlite.scenario.privacy import LocalDp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.learning.training.trainer import Trainer
    from fedlite.results.rounds import Rounds
    from fedlite.scenario.schema import Scenario

Array = NDArray[Any]

LIBRARIES = ("flwr", "torch", "ray", "numpy", "polars", "pydantic", "dp-accounting", "scikit-learn")


@dataclass(frozen=True)
class Story:
    """Everything that a run leaves to be told."""

    scenario: Scenario
    learning: Learning
    classes: Sequence[DeviceClass]
    fleet: Fleet
    ledger: Ledger
    rounds: Rounds
    final: Sequence[Array]
    noise_multiplier: float | None
    start_s: float
    end_s: float
    wall_s: float
    modes: Sequence[str]
    engine: str
    backend: str
    trainer: Trainer


def tell(story: Story, directory: RunDirectory) -> Run:
    """Write everything, the summary last: a directory with a summary is complete."""
    ledger = story.ledger.columns()
    directory.write_table("clients.parquet", ledger)
    directory.write_table("rounds.parquet", story.rounds.rows)
    directory.write_table("fleet.parquet", _fleet_rows(story, ledger))
    directory.write_table("evaluation.parquet", _evaluation_rows(story))
    directory.write_model(story.learning.names, story.final)
    directory.write_json("manifest.json", _manifest(story))
    summary = summarise(story, ledger, str(directory.path))
    directory.write_json("summary.json", summary)
    directory.journal.unlink(missing_ok=True)
    write_report(directory.path)
    return Run(directory.path)


def summarise(story: Story, ledger: dict[str, Array], run_dir: str) -> dict[str, Any]:
    """Return the summary of a run."""
    metered = ledger["metered"]
    moved = ledger["up_bytes"] + ledger["down_bytes"]
    energy_j = float(ledger["energy_j"].sum())
    summary = {
        "run_dir": run_dir,
        "name": story.scenario.name,
        "format": FORMAT,
        "digest": run_digest(story),
        "seed": story.scenario.seed,
        "rounds": len(story.rounds.rows) - 1,
        "virtual_time_s": story.end_s - story.start_s,
        "wall_time_s": story.wall_s,
        "energy_j": energy_j,
        "energy_low_j": float(ledger["energy_low_j"].sum()),
        "energy_high_j": float(ledger["energy_high_j"].sum()),
        "carbon_g": float(carbon.grams(energy_j, story.scenario.fleet.carbon_grid)),
        "up_bytes": int(ledger["up_bytes"].sum()),
        "down_bytes": int(ledger["down_bytes"].sum()),
        "metered_bytes": int(moved[metered].sum()),
        "metrics": _last_metrics(story),
        "outcomes": dict(sorted(Counter(ledger["outcome"].tolist()).items())),
        "clients_per_second": clients_per_second(story.rounds.rows),
        "devices": len(story.fleet),
        "excluded": _excluded(story),
        "epsilon": _epsilon(story),
        "backend": story.backend,
        "engine": story.engine,
        "trainer_modes": list(story.modes),
    }
    cleaned: dict[str, Any] = without_nan(summary)
    return cleaned


def run_digest(story: Story) -> str:
    """Return the SHA-256 over the final arrays and the ledger: the same for every backend and number of actors."""
    arrays = {
        f"{position} {name}": values
        for position, (name, values) in enumerate(zip(story.learning.names, story.final, strict=True))
    }
    return hashlib.sha256(f"{digest({}, arrays)} {story.ledger.digest()}".encode()).hexdigest()


def clients_per_second(rows: Sequence[dict[str, Any]]) -> float:
    """Return train jobs per second of wall time, the first round (start-up) left out where there are others."""
    trained = [row for row in rows if row["round"] > 0]
    counted = trained[1:] or trained
    wall_s = sum(row["wall_s"] for row in counted)
    return sum(row["selected"] for row in counted) / wall_s if wall_s > 0 else 0.0


def _last_metrics(story: Story) -> dict[str, float]:
    tested = [row for row in story.rounds.rows if not np.isnan(row["accuracy"])]
    names = ("accuracy", "loss", "macro_f1")
    last = {name: float(tested[-1][name]) for name in names} if tested else {}
    trained = [row["train_loss"] for row in story.rounds.rows if not np.isnan(row["train_loss"])]
    if trained:
        last["train_loss"] = float(trained[-1])
    target = story.scenario.training.target_accuracy
    if target is not None:
        reached = next((row for row in tested if row["accuracy"] >= target), None)
        last["rounds_to_target"] = float("nan") if reached is None else float(reached["round"])
        last["time_to_target_s"] = float("nan") if reached is None else float(reached["end_s"]) - story.start_s
    return last


def _device_counts(story: Story) -> list[int]:
    return [int(n) for n in np.bincount(story.fleet.population.profile_of, minlength=len(story.classes))]


def _excluded(story: Story) -> list[dict[str, Any]]:
    return [
        {"profile": c.profile.name, "devices": count, "reason": c.excluded}
        for c, count in zip(story.classes, _device_counts(story), strict=True)
        if c.excluded
    ]


def _fleet_rows(story: Story, ledger: dict[str, Array]) -> list[dict[str, Any]]:
    mean_examples = float(np.mean([len(rows) for rows in story.learning.rows]))
    local = story.scenario.training.local
    steps = local.epochs * -(-mean_examples // local.batch_size)
    train = ledger["kind"] == "train"
    rows = []
    for device_class, count in zip(story.classes, _device_counts(story), strict=True):
        mine = train & (ledger["profile"] == device_class.profile.name)
        cost = device_class.cost
        rows.append(
            {
                "profile": device_class.profile.name,
                "tier": str(device_class.profile.tier),
                "plan": device_class.plan.name,
                "devices": count,
                "excluded_reason": device_class.excluded,
                "plan_reason": device_class.plan_reason,
                "calibration": device_class.cost.calibration,
                "train_s_per_round": steps * cost.fixed_s + mean_examples * local.epochs * cost.per_sample_s,
                "peak_bytes": int(cost.peak_bytes),
                "job_ram_bytes": int(device_class.profile.job_ram_bytes.value),
                "participations": int(mine.sum()),
                "arrived": int((mine & (ledger["outcome"] == "arrived")).sum()),
            }
        )
    return rows


def _evaluation_rows(story: Story) -> dict[str, Array]:
    """Test the final model on each client's own share of the test data."""
    data = story.learning.data
    owner = np.full(len(data.y_test), -1, dtype=np.int64)
    if story.scenario.report.per_client_evaluation:
        for client, mine in enumerate(story.learning.test_rows):
            owner[mine] = client
    score = story.trainer.evaluate_many(list(story.final), data.x_test, data.y_test, owner)
    return {
        "client": score.client.astype(np.int32),
        "device": score.client.astype(np.int32),
        "samples": score.num_examples.astype(np.int32),
        "accuracy": score.accuracy,
        "loss": score.loss,
    }


def _epsilon(story: Story) -> dict[str, Any] | None:
    privacy = story.scenario.privacy
    if isinstance(privacy, LocalDp):
        ledger = story.ledger.columns()
        sent = ledger["device"][(ledger["up_bytes"] > 0) & (ledger["kind"] == "train")]
        spent = accounting.spent_locally(privacy.epsilon, privacy.delta, int(np.bincount(sent).max(initial=0)))
        return {"epsilon": spent.epsilon, "delta": spent.delta, "statement": spent.statement}
    delta = getattr(privacy, "delta", None)
    if not privacy.central or delta is None or story.noise_multiplier is None:
        return None
    if "fixed" not in privacy.mechanism:
        return {
            "epsilon": None,
            "delta": delta,
            "statement": "Not stated: Flower's adaptive clipping has no accountant, and moves its norm the wrong way"
            " (see docs/concepts/privacy.md).",
        }
    replies = [int(row["arrived"]) for row in story.rounds.rows if row["round"] > 0]
    spent = accounting.spent(story.noise_multiplier, story.scenario.cohort, replies, delta)
    return {"epsilon": spent.epsilon, "delta": delta, "statement": spent.statement}


def _manifest(story: Story) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fedlite": fedlite.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "seed": story.scenario.seed,
        "engine": story.engine,
        "trainer_modes": list(story.modes),
        "data": {
            "name": story.learning.data.name,
            "source": story.learning.data.source,
            "licence": story.learning.data.licence,
        },
        "clients": len(story.learning.rows),
        "parameters": story.learning.workload().params,
        "macs": story.learning.workload().macs,
        "noise_multiplier": story.noise_multiplier,
    }
