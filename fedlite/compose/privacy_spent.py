"""What a scenario's privacy mechanism costs: the noise it plans, and the epsilon of what was really released.

The unit is the owner of a data partition, not the device: a fleet may have more devices than there are partitions, and
then device d holds partition d % clients, so that several devices send updates made from one owner's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.privacy import accounting
from fedlite.privacy.accounting import Release
from fedlite.scenario.privacy import LocalDp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.scenario.schema import Scenario


def planned_noise(scenario: Scenario, clients: int) -> float | None:
    """Return the noise multiplier, told or calibrated; None without central noise. `clients` counts the partitions."""
    privacy = scenario.privacy
    if not privacy.central:
        return None
    given: float | None = getattr(privacy, "noise_multiplier", None)
    if given is not None:
        return given
    target, delta = getattr(privacy, "target_epsilon", None), getattr(privacy, "delta", None)
    # Nobody knows yet who will reply, so every device of one owner may.
    most_shares = min(-(-scenario.fleet.devices // clients), scenario.cohort)
    return accounting.noise_for(float(target or 0), float(delta or 0), scenario.training.rounds, most_shares)


def privacy_spent(
    scenario: Scenario, ledger: Ledger, clients: int, noise_multiplier: float | None
) -> dict[str, Any] | None:
    """Return epsilon, delta and the sentence that says what they mean; None if the scenario states none."""
    privacy = scenario.privacy
    jobs = ledger.columns()
    if isinstance(privacy, LocalDp):
        sent = (jobs["up_bytes"] > 0) & (jobs["kind"] == "train")
        spent = accounting.spent_locally(
            privacy.epsilon, privacy.delta, _most_of_one_owner(jobs["device"][sent], clients)
        )
        return {"epsilon": spent.epsilon, "delta": spent.delta, "statement": spent.statement}
    delta = getattr(privacy, "delta", None)
    if not privacy.central or delta is None or noise_multiplier is None:
        return None
    if "fixed" not in privacy.mechanism:
        return {
            "epsilon": None,
            "delta": delta,
            "statement": "Not stated: Flower's adaptive clipping has no accountant, and moves its norm the wrong way"
            " (see docs/concepts/privacy.md).",
        }
    arrived = (jobs["kind"] == "train") & (jobs["outcome"] == "arrived")
    replies = _releases(jobs["round"][arrived], jobs["device"][arrived], clients)
    spent = accounting.spent(noise_multiplier, scenario.cohort, replies, delta)
    return {"epsilon": spent.epsilon, "delta": delta, "statement": spent.statement}


def _releases(rounds: NDArray[Any], devices: NDArray[Any], clients: int) -> list[Release]:
    """Return one release per round in which updates arrived."""
    by_round = [devices[rounds == round_] for round_ in np.unique(rounds)]
    return [Release(len(mine), _most_of_one_owner(mine, clients)) for mine in by_round]


def _most_of_one_owner(devices: NDArray[Any], clients: int) -> int:
    return int(np.bincount(devices % clients).max(initial=0))
