"""From a finished run of a scenario to its directory: what is told beyond the record that every run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.privacy import accounting
from fedlite.scenario.privacy import LocalDp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compose.finished import Run
    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.compose.record import Record
    from fedlite.learning.training.trainer import Trainer
    from fedlite.results.directory import RunDirectory
    from fedlite.scenario.schema import Scenario

Array = NDArray[Any]


@dataclass(frozen=True)
class Story:
    """What a scenario's run leaves to be told beside its record."""

    record: Record
    scenario: Scenario
    learning: Learning
    classes: Sequence[DeviceClass]
    noise_multiplier: float | None
    modes: Sequence[str]
    trainer: Trainer


def tell(story: Story, directory: RunDirectory) -> Run:
    """Write the run directory."""
    told = {
        "metrics": _last_metrics(story),
        "excluded": _excluded(story),
        "epsilon": _epsilon(story),
        "trainer_modes": list(story.modes),
    }
    return story.record.write(
        directory,
        fleet=_fleet_rows(story),
        evaluation=_evaluation_rows(story),
        manifest=story.record.manifest(_manifest(story)),
        summary=story.record.summary(str(directory.path), story.scenario.name, told),
    )


def _last_metrics(story: Story) -> dict[str, float]:
    tested = [row for row in story.record.rounds.rows if not np.isnan(row["accuracy"])]
    names = ("accuracy", "loss", "macro_f1")
    last = {name: float(tested[-1][name]) for name in names} if tested else {}
    trained = [row["train_loss"] for row in story.record.rounds.rows if not np.isnan(row["train_loss"])]
    if trained:
        last["train_loss"] = float(trained[-1])
    target = story.scenario.training.target_accuracy
    if target is not None:
        reached = next((row for row in tested if row["accuracy"] >= target), None)
        last["rounds_to_target"] = float("nan") if reached is None else float(reached["round"])
        last["time_to_target_s"] = (
            float("nan") if reached is None else float(reached["end_s"]) - story.scenario.fleet.start_s
        )
    return last


def _device_counts(story: Story) -> list[int]:
    return [int(n) for n in np.bincount(story.record.fleet.population.profile_of, minlength=len(story.classes))]


def _excluded(story: Story) -> list[dict[str, Any]]:
    return [
        {"profile": c.profile.name, "devices": count, "reason": c.excluded}
        for c, count in zip(story.classes, _device_counts(story), strict=True)
        if c.excluded
    ]


def _fleet_rows(story: Story) -> list[dict[str, Any]]:
    ledger = story.record.ledger.columns()
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
    score = story.trainer.evaluate_many(list(story.record.final), data.x_test, data.y_test, owner)
    return {
        "client": score.client.astype(np.int32),
        "device": score.client.astype(np.int32),
        "samples": score.num_examples.astype(np.int32),
        **score.metrics,
    }


def _epsilon(story: Story) -> dict[str, Any] | None:
    privacy = story.scenario.privacy
    if isinstance(privacy, LocalDp):
        ledger = story.record.ledger.columns()
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
    replies = [int(row["arrived"]) for row in story.record.rounds.rows if row["round"] > 0]
    spent = accounting.spent(story.noise_multiplier, story.scenario.cohort, replies, delta)
    return {"epsilon": spent.epsilon, "delta": delta, "statement": spent.statement}


def _manifest(story: Story) -> dict[str, Any]:
    data, workload = story.learning.data, story.learning.workload()
    return {
        "trainer_modes": list(story.modes),
        "data": {"name": data.name, "source": data.source, "licence": data.licence},
        "clients": len(story.learning.rows),
        "parameters": workload.params,
        "macs": workload.macs,
        "noise_multiplier": story.noise_multiplier,
    }
