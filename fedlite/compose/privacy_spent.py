"""The guarantee of a scenario's run: what was really released, by whichever mechanism it has.

The unit is the owner of a data partition, not the device: a fleet may have more devices than there are partitions, and
then device d holds partition d % clients, so that several devices send updates made from one owner's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.privacy import accounting, releases
from fedlite.scenario.privacy import LocalDp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.privacy.releases import Release, Terms
    from fedlite.scenario.schema import Scenario


def privacy_spent(
    scenario: Scenario, ledger: Ledger, clients: int, terms: Terms | None, released: Sequence[Release]
) -> dict[str, Any] | None:
    """Return the guarantee with all that it rests on, None for a scenario without a mechanism.

    Parameters
    ----------
    scenario : Scenario
    ledger : Ledger
    clients : int
        Owners of data.
    terms : Terms, optional
        Of a server that adds noise.
    released : sequence of Release
        What that server published.
    """
    if terms is not None:
        trust = "central" if scenario.privacy.secure_aggregation is None else "sums"
        return {"mechanism": scenario.privacy.mechanism, "trust": trust, **releases.record(terms, released)}
    if isinstance(scenario.privacy, LocalDp):
        return _locally(scenario.privacy, ledger, clients)
    return None


def _locally(privacy: LocalDp, ledger: Ledger, clients: int) -> dict[str, Any]:
    jobs = ledger.columns()
    sent = (jobs["up_bytes"] > 0) & (jobs["kind"] == "train")
    most = int(np.bincount(jobs["device"][sent] % clients).max(initial=0))
    spent = accounting.spent_locally(privacy.epsilon, privacy.delta, most)
    counts = _counts(jobs["round"][sent])
    return {
        "mechanism": privacy.mechanism,
        "trust": "local",
        "guarantee": True,
        "unit": "the owner of data, with all of it on all devices",
        "relation": "replace-one",
        "epsilon": spent.epsilon,
        "epsilon_without_amplification": spent.epsilon,
        "delta": spent.delta,
        "noise_multiplier": accounting.local_noise_std(privacy.epsilon, privacy.delta, 1.0),
        "clipping_norms": releases.range_of([privacy.clipping_norm]),
        "accountant": "exact Gaussian composition",
        "sampling": "none",
        "amplification": False,
        "why_no_amplification": [],
        "releases": most,
        "cohort_realised": counts,
        "statement": spent.statement,
    }


def _counts(rounds: NDArray[Any]) -> dict[str, float | None]:
    """Return how many updates the rounds had that had any."""
    return releases.range_of(np.unique(rounds, return_counts=True)[1].tolist())
