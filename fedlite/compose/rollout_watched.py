"""Which rehearsal of each gate is shown in full: that whose stop is the median, in the world where it found most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.rollout.gates.sequential import Sequential
from fedlite.rollout.watched import watched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.rollout.watched import Watched


def of_plan(made: Rehearsed, runs: Sequence[Mapping[str, NDArray[Any]]]) -> list[dict[str, Any]]:
    """Return what each gate with always-valid bounds saw, as plain values; the gates in the plan's order.

    One rehearsal of each world is played once more for it, and nothing but the strongest is kept.
    """
    best: dict[str, tuple[Watched, str, int]] = {}
    for world, run in zip(made.worlds, runs, strict=True):
        replication = median_stop(run["stop_s"])
        for one in watched(made.plan, made.fleet, world, replication, made.charges):
            name = one.watch.name
            if name not in best or one.strength > best[name][0].strength:
                best[name] = one, world.name, replication
    return [_told(made, *best[watch.name]) for watch in made.plan.watches if watch.name in best]


def median_stop(stop_s: NDArray[Any]) -> int:
    """Return the first replication that stopped when the median one did, or never if that did not."""
    return int(np.flatnonzero(stop_s == np.percentile(stop_s, 50, method="inverted_cdf"))[0])


def _told(made: Rehearsed, one: Watched, world: str, replication: int) -> dict[str, Any]:
    observed, low, high = one.bounds()
    gate: Any = one.watch.gate
    return {
        "name": one.watch.name, "metric": one.watch.metric, "world": world, "replication": replication,
        "of": "fleet" if one.profile < 0 else made.profiles[one.profile],
        "kind": "rate" if isinstance(gate, Sequential) else "difference",
        "reference": gate.baseline if isinstance(gate, Sequential) else 0.0,
        "worse": "increase" if isinstance(gate, Sequential) else gate.direction,
        "alpha": gate.alpha,
        "stop_s": one.stop_s if math.isfinite(one.stop_s) else None,
        "times_s": one.times_s.tolist(), "devices": np.asarray(one.evidence.n).astype(int).tolist(),
        **{key: [_finite(x) for x in values.tolist()]
           for key, values in (("observed", observed), ("low", low), ("high", high))},
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
