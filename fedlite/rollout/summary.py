"""What many rehearsals in one world come to: every number with its 5 to 95 % band over the replications."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout.states import STATES, State
from fedlite.rollout.tally import SHARES, Tally
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.rollout.monitor import Watch
    from fedlite.rollout.worlds import World

    Floats = NDArray[np.float64]

Band = dict[str, float | None]

_PERCENTILES: Final = {"p5": 5, "p50": 50, "p95": 95}
JUDGED: Final = ("reachable_s", "blast_devices", "delivery_j", "metered_bytes", "tripped")
"""Names of the numbers behind `judged`."""
_SERVED: Final = (State.UPDATED, State.ROLLED_BACK, State.LEFT_UPDATED)


def stacked(tallies: Sequence[Tally]) -> dict[str, Floats]:
    """Return the numbers of R rehearsals by name, replications first."""
    return {field.name: np.stack([getattr(one, field.name) for one in tallies]) for field in fields(Tally)}


def band(values: Floats) -> Band:
    """Return percentiles of the replications (R,): each a value that occurred; None for what never happens."""
    found = np.percentile(values, list(_PERCENTILES.values()), method="inverted_cdf")
    return {name: float(x) if np.isfinite(x) else None for name, x in zip(_PERCENTILES, found, strict=True)}


def of_world(world: World, watches: Sequence[Watch], runs: dict[str, Floats], profiles: Sequence[str],
             devices: NDArray[np.int64], variants: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """Return what a world came to.

    Parameters
    ----------
    world : World
    watches : sequence of Watch
        Of the plan, in its order.
    runs : dict of ndarray
        Numbers of all replications: see `stacked`.
    profiles : sequence of str, P
    devices : ndarray of int, shape (P,)
        Devices of each profile.
    variants : sequence of str, V
    """
    tripped = runs["tripped"] >= 0
    total = float(devices.sum())
    there = np.flatnonzero(devices)
    accuracy = runs["accuracy"][:, there]
    energy = {name: runs[f"{name}_j"] for name in ("delivery", "inference", "rollback")}
    return {
        "name": world.name,
        "bad_classes": [profiles[index] for index in np.flatnonzero(world.bad & (devices > 0)).tolist()],
        **{f"time_to_{100 * share:.0f}_s": band(runs["time_to_s"][:, i]) for i, share in enumerate(SHARES)},
        "time_to_95_of_reachable_s": band(runs["reachable_s"]),
        "coverage": {profiles[i]: band(runs["coverage"][:, i, -1] / devices[i]) for i in there.tolist()},
        "covered": band(runs["coverage"][:, :, -1].sum(axis=1) / total),
        "states": _states(runs["states"], total),
        "never": {
            name: shares for name, shares in _states(runs["states"], total).items() if State(name) not in _SERVED
        },
        "variants": {name: band(runs["variants"][:, i] / total) for i, name in enumerate(variants)},
        "bytes": {
            name: band(runs[f"{name}_bytes"]) for name in ("metered", "unmetered", "saved", "rollback")
        },
        "server_peak_bps": band(runs["peak_bps"]),
        "energy_j": band(sum(energy.values(), start=np.zeros(len(tripped)))),
        "energy": {f"{name}_j": band(values) for name, values in energy.items()},
        "delivery_p95_j": band(runs["delivery_p95_j"]),
        "attempts": band(runs["attempts"]),
        "failed_attempts": band(runs["failed_attempts"]),
        "blast_radius": {
            "devices": band(runs["blast_devices"]),
            "device_hours": band(runs["blast_device_s"] / HOUR_S),
            "worst_class": band(runs["blast_worst"]),
            "devices_in_all": band(runs["blast_all"]),
            "left_at_horizon": band(runs["blast_left"]),
        },
        "p_abort": float(tripped.mean()),
        **_verdict(world, runs),
        "detect_time_s": band(runs["stop_s"][tripped]) if tripped.any() else None,
        "tripped": {watch.name: float((runs["tripped"] == i).mean()) for i, watch in enumerate(watches)},
        "accuracy": {
            "worst": band(accuracy.min(axis=1)),
            "mean": band(accuracy @ (devices[there] / total)),
            "gap": band(accuracy.max(axis=1) - accuracy.min(axis=1)),
            "by_class": {profiles[index]: band(runs["accuracy"][:, index]) for index in there.tolist()},
        },
        "latency_s": {name: band(runs["latency_s"][:, i]) for i, name in enumerate(("p50", "p95", "p99"))},
    }  # fmt: skip


def judged(world: World, runs: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the part of `of_world` that plans are judged by (`ranking.standing`), for a search that judges often."""
    return {
        **_verdict(world, runs),
        "time_to_95_of_reachable_s": band(runs["reachable_s"]),
        "blast_radius": {"devices": band(runs["blast_devices"])},
        "energy": {"delivery_j": band(runs["delivery_j"])},
        "bytes": {"metered": band(runs["metered_bytes"])},
    }


def _verdict(world: World, runs: Mapping[str, Floats]) -> dict[str, float | None]:
    tripped = float((runs["tripped"] >= 0).mean())
    return {"p_detect": tripped if world.is_bad else None, "p_false_abort": None if world.is_bad else tripped}


def _states(states: Floats, total: float) -> dict[str, Band]:
    """Return the shares of the fleet in each state at the horizon; states that never occur are left out."""
    counts = states.sum(axis=1)
    return {state.value: band(counts[:, state.code] / total) for state in STATES if counts[:, state.code].any()}
