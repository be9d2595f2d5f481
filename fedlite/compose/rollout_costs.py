"""What 1,000 inferences take on a device, and what they would take if it asked a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.units import DAY_S

if TYPE_CHECKING:
    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.scenario.rollout.model import Cloud
    from fedlite.scenario.rollout.plan import RolloutPlan

_MANY: Final = 1000


def per_1000(plan: RolloutPlan, made: Rehearsed, index: int) -> dict[str, Any]:
    """Return the costs of 1,000 inferences on a class of devices.

    Returns
    -------
    dict
        `device`: joules of a good build's inferences, and bytes of its download spread over the inferences of the
        horizon; None where no variant fits. `cloud`: joules of the radio, bytes and price; None where the plan tells
        of no server.
    """
    assigned, per_day = made.plan.assigned, made.plan.inferences_per_day
    device = None
    if assigned.variant_of[index] >= 0:
        made_until_horizon = per_day * plan.horizon_s / DAY_S
        amortised = assigned.download_bytes[index] / made_until_horizon if made_until_horizon else np.nan
        device = {
            "energy_j": float(_MANY * (assigned.inference_j * made.plan.heat.slowdown(assigned.latency_s))[index]),
            "bytes": float(_MANY * amortised) if np.isfinite(amortised) else None,
        }
    return {"device": device, "cloud": None if plan.model.cloud is None else _asked(plan.model.cloud, made, index)}


def _asked(cloud: Cloud, made: Rehearsed, index: int) -> dict[str, float]:
    """Return what asking takes: the radio wakes, sends all that is asked at once, and stays awake for its tail.

    On the links that the class's devices have as the rollout begins; all bytes count as sent.
    """
    fleet = made.fleet
    devices = np.flatnonzero(fleet.population.profile_of == index)
    home = fleet.presence.on_home_link(devices, np.full(len(devices), made.plan.start_s))
    on = fleet.connections.of(devices, home, np.zeros(len(devices), dtype=np.int32))
    payload, awake_s = np.full(len(devices), cloud.bytes_per_inference), np.zeros(len(devices))
    sent = fleet.connections.channels.transfers(
        on.channel_of, payload, on.rates.up_bps, on.rates.rtt_s, awake_s=awake_s, uplink=True
    )
    return {
        "energy_j": float(_MANY * np.mean(sent.active_j + (sent.ramp_j + sent.tail_j) / made.plan.heat.at_once)),
        "bytes": float(_MANY * cloud.bytes_per_inference),
        "price": float(cloud.price_per_1000),
    }


def of_server(plan: RolloutPlan, made: Rehearsed) -> dict[str, float] | None:
    """Return what the devices that no variant fits ask of the server in a day; None where they keep the old model."""
    cloud = plan.model.cloud
    if plan.model.fallback != "cloud" or cloud is None:
        return None
    devices = int(made.devices[made.plan.assigned.variant_of < 0].sum())
    inferences = devices * made.plan.inferences_per_day
    return {
        "devices": devices,
        "inferences_per_day": inferences,
        "bytes_per_day": inferences * cloud.bytes_per_inference,
        "price_per_day": inferences / _MANY * cloud.price_per_1000,
    }
