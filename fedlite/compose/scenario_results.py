"""What a scenario's campaign adds to the record that every run leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.compose.fleet_rows import ClassFacts, device_counts, fleet_rows
from fedlite.compose.privacy_spent import privacy_spent
from fedlite.compose.record import Particulars
from fedlite.learning.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compose.record import Record
    from fedlite.compose.scenario_campaign import ScenarioCampaign
    from fedlite.flower.native_clients import PlanCost
    from fedlite.scenario.schema import Scenario
    from fedlite.scenario.training import Local

Array = NDArray[Any]


def scenario_particulars(campaign: ScenarioCampaign, record: Record, modes: Sequence[str]) -> Particulars:
    """Return what is known of a scenario's run; `modes` are the trainer's execution modes."""
    return Particulars(
        fleet=fleet_rows(record, _classes(campaign)),
        evaluation=_evaluation_rows(campaign, record),
        manifest=_manifest(campaign, modes),
        summary={
            "metrics": _last_metrics(campaign.scenario, record),
            "excluded": _excluded(campaign, record),
            "epsilon": privacy_spent(campaign.scenario, record.ledger, campaign.clients, campaign.noise_multiplier),
            "trainer_modes": list(modes),
        },
    )


def _last_metrics(scenario: Scenario, record: Record) -> dict[str, float]:
    tested = [row for row in record.rounds.rows if not np.isnan(row["accuracy"])]
    names = ("accuracy", "loss", "macro_f1")
    last = {name: float(tested[-1][name]) for name in names} if tested else {}
    trained = [row["train_loss"] for row in record.rounds.rows if not np.isnan(row["train_loss"])]
    if trained:
        last["train_loss"] = float(trained[-1])
    target = scenario.training.target_accuracy
    if target is not None:
        reached = next((row for row in tested if row["accuracy"] >= target), None)
        last["rounds_to_target"] = float("nan") if reached is None else float(reached["round"])
        last["time_to_target_s"] = float("nan") if reached is None else float(reached["end_s"]) - scenario.fleet.start_s
    return last


def _excluded(campaign: ScenarioCampaign, record: Record) -> list[dict[str, Any]]:
    return [
        {"profile": c.profile.name, "devices": count, "reason": c.excluded}
        for c, count in zip(campaign.classes, device_counts(record), strict=True)
        if c.excluded
    ]


def _classes(campaign: ScenarioCampaign) -> list[ClassFacts]:
    mean_examples = float(np.mean([len(rows) for rows in campaign.learning.rows]))
    local = campaign.scenario.training.local
    return [
        ClassFacts(
            device_class.profile,
            plan=device_class.plan.name,
            train_s=_train_s(device_class.cost, local, mean_examples),
            peak_bytes=int(device_class.cost.peak_bytes),
            excluded=device_class.excluded,
            plan_reason=device_class.plan_reason,
            calibration=device_class.cost.calibration,
        )
        for device_class in campaign.classes
    ]


def _train_s(cost: PlanCost, local: Local, examples: float) -> float:
    """Return how long a round's local training takes on a client with so many rows."""
    steps = local.epochs * -(-examples // local.batch_size)
    return steps * cost.fixed_s + examples * local.epochs * cost.per_sample_s


def _evaluation_rows(campaign: ScenarioCampaign, record: Record) -> dict[str, Array]:
    """Test the final model on each client's own share of the test data."""
    data = campaign.learning.data
    owner = np.full(len(data.y_test), -1, dtype=np.int64)
    if campaign.scenario.report.per_client_evaluation:
        for client, mine in enumerate(campaign.learning.test_rows):
            owner[mine] = client
    trainer = Trainer(campaign.learning.build(), objective=campaign.learning.objective)
    score = trainer.evaluate_many(list(record.trained.final), data.x_test, data.y_test, owner)
    return {
        "client": score.client.astype(np.int32),
        "device": score.client.astype(np.int32),
        "samples": score.num_examples.astype(np.int32),
        **score.metrics,
    }


def _manifest(campaign: ScenarioCampaign, modes: Sequence[str]) -> dict[str, Any]:
    data, workload = campaign.learning.data, campaign.learning.workload()
    return {
        "trainer_modes": list(modes),
        "data": {"name": data.name, "source": data.source, "licence": data.licence},
        "clients": campaign.clients,
        "parameters": workload.params,
        "macs": workload.macs,
        "noise_multiplier": campaign.noise_multiplier,
    }
