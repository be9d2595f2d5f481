"""The audit of a run with canaries: how much privacy was certainly lost, beside what the run states.

A canary's score is how far what was seen goes its way, in units of what it would go if the canary was in: 1 of those
that were, 0 of those that were not, and noise. Thresholds are fixed before scores are looked at; where several are
tried, each may fail with its part of the probability (Bonferroni).

Whoever sees released models does not know who took part, and the score does not use it: its unit is what a canary moves
on average. A server that sees updates or sums knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.attacks import audit
from fedlite.attacks.audit import ALPHA, Rates
from fedlite.client.stages.canary import direction, included
from fedlite.compose.attack_scene import Scene
from fedlite.compose.finished import load_run
from fedlite.errors import FedliteError
from fedlite.scenario.canaries import canary_stages
from fedlite.scenario.privacy import LocalDp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fedlite.client.stages.canary import Canary
    from fedlite.compose.attack_scene import Observation

Array = NDArray[Any]

THRESHOLDS: Final = (0.5, 1.0)
SHARES: Final = (0.25, 0.5, 1.0)
"""Of the canaries, on how many it is guessed."""
BOUNDS: Final = 3
"""That are told, and all hold together."""
USUAL_DELTA: Final = 1e-5
FEWEST: Final = 10


def audit_run(run: Path, delta: float | None = None) -> dict[str, Any]:
    """Return lower bounds on epsilon, and whether they contradict what the run states, as JSON values.

    Parameters
    ----------
    run : Path
    delta : float, optional
        Of the bounds; that of the run's guarantee if not given, and 1e-5 if it has none.

    Raises
    ------
    FedliteError
        If the run has no canaries, or too few of them took part.
    """
    scene = Scene.of(run)
    planted = canary_stages(scene.scenario)
    if not planted:
        raise FedliteError(
            f"{run}: got a run without canaries, expected some; add 'adversary: {{sees: models, canaries: {{clients:"
            " 100}}' to its scenario and run it again"
        )
    scores, within = canary_scores(scene, planted[0])
    if len(scores) < FEWEST or within.all() or not within.any():
        raise FedliteError(
            f"{run}: got {len(scores)} canaries that took part, {int(within.sum())} of them in, expected at least"
            f" {FEWEST}, of either kind; plant more, or ask more clients in a round"
        )
    stated = _stated(scene, load_run(run).summary)
    at = delta or stated["delta"] or USUAL_DELTA
    bounds = bounds_of(scores, within, at, is_gaussian=not stated["amplified"])
    most = max(one["epsilon"] for one in bounds)
    proven = stated["epsilon"]
    return {
        "audit": "canaries",
        "name": scene.scenario.name,
        "sees": scene.sight.sees,
        "canaries": len(scores),
        "included": int(within.sum()),
        "delta": at,
        "confidence": 1.0 - ALPHA,
        "bounds": bounds,
        "epsilon_lower": most,
        "epsilon_stated": proven,
        "stated_why": stated["why"],
        "kept": None if proven is None else bool(most <= proven),
        "mean_included": float(scores[within].mean()),
        "mean_excluded": float(scores[~within].mean()),
        "deviation": float(np.concatenate([part - part.mean() for part in (scores[within], scores[~within])]).std()),
        "scores": [{"score": float(score), "included": bool(own)} for score, own in zip(scores, within, strict=True)],
    }


def bounds_of(
    scores: Array, within: NDArray[np.bool_], delta: float, *, is_gaussian: bool = True
) -> list[dict[str, Any]]:
    """Return each lower bound on epsilon with what it rests on; the last only of a mechanism that is Gaussian."""
    part = ALPHA / BOUNDS
    tries = [Rates.at(scores, within, threshold) for threshold in THRESHOLDS]
    guesses = [max(1, int(share * len(scores))) for share in SHARES]
    found = {
        "one-run": (
            max(
                audit.one_run(len(scores), each, audit.guessed(scores, within, each), delta, part / len(guesses))
                for each in guesses
            ),
            "independent coins",
        ),
        "clopper-pearson": (
            max(audit.clopper_pearson(each, delta, part / len(tries)) for each in tries),
            "independent coins, and scores that do not depend on each other",
        ),
        "gaussian": (
            audit.epsilon_of_mu(audit.gaussian(tries[0], part), delta),
            "the same, and a mechanism that is Gaussian",
        ),
    }
    if not is_gaussian:
        del found["gaussian"]
    return [{"bound": name, "epsilon": epsilon, "rests_on": why} for name, (epsilon, why) in found.items()]


def canary_scores(scene: Scene, planted: Canary) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the score of each canary that could be seen, and which of them were in."""
    moved, unit = np.zeros(planted.clients), np.zeros(planted.clients)
    like = [part for part in scene.learning.arrays if np.issubdtype(part.dtype, np.floating)]
    ways = {client: _flat(direction(planted.seed, client, like)) for client in range(planted.clients)}
    share = min(1.0, scene.scenario.cohort / scene.scenario.fleet.devices)
    for one in scene.observations():
        update = _flat([one.update[name] for name in scene.learning.names if name in one.update])
        weights = _weights(scene, one, planted.clients, share)
        for client, weight in weights.items():
            moved[client] += float(update @ ways[client])
            unit[client] += weight * planted.norm
    seen = np.flatnonzero(unit > 0)
    within = np.array([included(planted.seed, client) for client in seen.tolist()], dtype=bool)
    return moved[seen] / unit[seen], within


def _weights(scene: Scene, one: Observation, canaries: int, share: float) -> Mapping[int, float]:
    """Return by what part of its update each canary would move what was seen, as far as the adversary knows."""
    equal = scene.scenario.privacy.central
    if scene.sight.sees == "updates":
        return {owner: 1.0 for owner in one.owners if owner < canaries}
    if scene.sight.sees == "models":
        # A private mean is over as many as were planned.
        over = scene.scenario.cohort if equal else max(len(one.owners), 1)
        return dict.fromkeys(range(canaries), share / over)
    sizes = {owner: 1 if equal else len(scene.learning.rows[owner]) for owner in one.owners}
    return {owner: size / sum(sizes.values()) for owner, size in sizes.items() if owner < canaries}


def _stated(scene: Scene, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run states against this adversary, and why nothing if it does not."""
    told = summary.get("privacy") or {}
    epsilon, delta = told.get("epsilon"), told.get("delta")
    local = isinstance(scene.scenario.privacy, LocalDp)
    # Sampling by chance makes another mechanism of a Gaussian one.
    amplified = bool(told.get("amplification"))
    if epsilon is not None and not local and scene.sight.sees != "models":
        why = f"the guarantee is against whoever sees released models, and this adversary sees {scene.sight.sees}"
        return {"epsilon": None, "delta": delta, "why": why, "amplified": False}
    why = "the run's own guarantee" if epsilon is not None else "the run states no epsilon"
    return {"epsilon": epsilon, "delta": delta, "why": why, "amplified": amplified}


def _flat(parts: list[Array]) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(part).astype(np.float64) for part in parts])
