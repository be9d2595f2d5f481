"""What a scenario's campaign adds to the record that every run leaves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.compose.delivered import plans_of, what_is_shipped
from fedlite.compose.fleet import round_s
from fedlite.compose.fleet_rows import ClassFacts, device_counts, fleet_rows
from fedlite.compose.plan_remarks import said_of
from fedlite.compose.privacy_spent import privacy_spent
from fedlite.compose.record import Particulars
from fedlite.compose.spending import server_record
from fedlite.compose.target import target_of
from fedlite.learning.objectives import LOSS
from fedlite.report.measure import metric_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.client.downlink import Downloads
    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.compose.record import Record
    from fedlite.compose.spending import Done
    from fedlite.compression.plan import Plan
    from fedlite.privacy.releases import Release, Terms
    from fedlite.scenario.schema import Scenario

Array = NDArray[Any]

NO_DEVICE: Final = -1
"""In the table of tests: somebody held out, whose data is on no device."""


def scenario_particulars(
    scenario: Scenario,
    learning: Learning,
    classes: Sequence[DeviceClass],
    record: Record,
    *,
    terms: Terms | None,
    released: Sequence[Release],
    modes: Sequence[str],
    uncounted: Sequence[str],
    downloads: Downloads | None,
    server: Sequence[Done] = (),
    secured: dict[str, Any] | None = None,
) -> Particulars:
    """Return what is known of a scenario's run.

    `terms` and `released` are those of a server that adds noise. `modes` are the trainer's execution modes, `uncounted`
    the messages whose work an own ClientApp hides from counting;
    `downloads` are those of fedlite's own clients, `server` what the server trained, `secured` what secure
    aggregation tells.
    """
    spent = privacy_spent(scenario, record.ledger, len(learning.rows), terms, released)
    devices = device_counts(record)
    classes = [one for one in classes if one.profile.name in devices]
    return Particulars(
        fleet=fleet_rows(record, _class_facts(classes, record, learning)),
        evaluation=_evaluation_rows(scenario, learning, record),
        manifest=_manifest(learning, None if terms is None else terms.noise_multiplier, modes),
        summary={
            "metrics": _last_metrics(scenario, learning, record),
            **metric_records(learning.goal.metrics),
            # An app's clients have data of their own.
            "scored_on": learning.scored_on if scenario.task.app is None else "",
            **(_test_rows(learning) if scenario.task.app is None else {}),
            "excluded": [
                {"profile": one.profile.name, "devices": devices[one.profile.name], "reason": one.excluded}
                for one in classes
                if one.excluded
            ],
            # Only where fedlite chose a plan.
            **({"auto": told} if (told := _chosen(classes)) else {}),
            # Of an app its plans are no more than codecs.
            **({"plan_remarks": _remarks(scenario, classes, learning)} if scenario.task.app is None else {}),
            **(
                what_is_shipped(scenario, classes, learning, record.trained.final, record.ledger.columns())
                if scenario.task.app is None
                else {"delivered": [], "inference": []}
            ),
            "privacy": spent,
            "epsilon": spent,  # the key that summaries of version 0.1 had
            "trainer_modes": list(modes),
            "uncounted": list(uncounted),
            **({"server": server_record(server)} if server else {}),
            **({"secure_aggregation": secured} if secured else {}),
            # Where all models go down whole, the ledger says all there is to say.
            **({"downloads": asdict(downloads)} if downloads and any(c.plan.delta for c in classes) else {}),
        },
    )


def _test_rows(learning: Learning) -> dict[str, Any]:
    return {"test_rows": {"tested": len(learning.tested), "all": len(learning.judge.y_test)}}


def _last_metrics(scenario: Scenario, learning: Learning, record: Record) -> dict[str, float]:
    rounds = record.rounds
    last = {name: float(rounds.rows[-1][name]) for name in rounds.metrics}
    trained = [row["train_loss"] for row in rounds.rows if not np.isnan(row["train_loss"])]
    if trained:
        last["train_loss"] = float(trained[-1])
    target = target_of(scenario, learning.goal)
    if target is not None:
        reached = next((row for row in rounds.rows if target.reached_by(float(row[target.metric.name]))), None)
        start_s = scenario.fleet.start_s
        last["rounds_to_target"] = float("nan") if reached is None else float(reached["round"])
        last["time_to_target_s"] = float("nan") if reached is None else float(reached["end_s"]) - start_s
    return last


def _chosen(classes: Sequence[DeviceClass]) -> list[dict[str, Any]]:
    return [{"profile": one.profile.name, **one.choice.record} for one in classes if one.choice is not None]


def _remarks(scenario: Scenario, classes: Sequence[DeviceClass], learning: Learning) -> dict[str, str]:
    """Return what each plan that a job may have had saves and what not, by its name."""
    plans = [plan for one in classes if not one.excluded for plan in plans_of(scenario, one)]
    return {plan.name: _remark(plan, learning) for plan in plans}


def _class_facts(classes: Sequence[DeviceClass], record: Record, learning: Learning) -> list[ClassFacts]:
    budgets, profile_of = record.fleet.budgets, record.fleet.population.profile_of
    clients = len(learning.rows)
    owners = [np.flatnonzero(profile_of == position) % clients for position in range(len(classes))]
    return [
        ClassFacts(
            device_class.profile,
            plan=device_class.plan.name,
            train_s=round_s(device_class.profile, device_class.work, budgets, mine),
            peak_bytes=int(device_class.work.peak_bytes),
            excluded=device_class.excluded,
            plan_reason=device_class.plan_reason,
            plan_remark=_remark(device_class.plan, learning),
            calibration=str(device_class.work.calibration),
        )
        for device_class, mine in zip(classes, owners, strict=True)
    ]


def _remark(plan: Plan, learning: Learning) -> str:
    own, full = learning.workload(plan.structure), learning.workload()
    shares = {"macs": own.macs / full.macs, "params": own.params / full.params}
    return said_of(plan, learning.spec, learning.objective, **shares)


def _evaluation_rows(scenario: Scenario, learning: Learning, record: Record) -> dict[str, Array]:
    """Test the final model on each client's own share of the test data, or on each of those held out."""
    data, away = learning.judge, learning.judge is not learning.data
    owner = np.full(len(data.y_test), -1, dtype=np.int64)
    if scenario.report.per_client_evaluation and away and data.client_test is not None:
        owner = data.client_test
    elif scenario.report.per_client_evaluation:
        for client, mine in enumerate(learning.test_rows):
            owner[mine] = client
    trainer = learning.trainer(record.accelerator)
    score = trainer.evaluate_many(list(record.trained.final), data.x_test, data.y_test, owner)
    return {
        "client": score.client.astype(np.int32),
        "device": np.where(away, NO_DEVICE, score.client).astype(np.int32),
        "samples": score.num_examples.astype(np.int32),
        **{name: score.metrics[name] for name in (learning.goal.main.name, LOSS.name)},
    }


def _manifest(learning: Learning, noise_multiplier: float | None, modes: Sequence[str]) -> dict[str, Any]:
    data, workload = learning.data, learning.workload()
    return {
        "trainer_modes": list(modes),
        "data": {"name": data.name, "source": data.source, "licence": data.licence},
        "clients": len(learning.rows),
        "parameters": workload.params,
        "macs": workload.macs,
        "noise_multiplier": noise_multiplier,
    }
