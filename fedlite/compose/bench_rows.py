"""What a recipe saves and costs, quantity by quantity: the two columns of `fedlite compress --technique`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.devices.duty import Use, duty, hours_by_charge
from fedlite.devices.power import compute_energy
from fedlite.learning.tracing import trace
from fedlite.planning.break_even import break_even
from fedlite.pricing import Job, inference, price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from fedlite.compose.bench import Outcome
    from fedlite.compose.shipping import Shipped
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload

_MILLI: Final = 1e3
_BUSY: Final = 0.5
"""Share of the time for which a stated use keeps a device busy."""


def quantities(outcome: Outcome, profile: DeviceProfile, batch: int) -> dict[str, Any]:
    """Return the quantities of an outcome on a device.

    Returns
    -------
    dict
        params, macs : of one inference of what is shipped.
        stored_bytes : of the file on flash. up_bytes, down_bytes : of the packets of one client job.
        accuracy, macro_f1 : on test rows, of what a device reads from the file; other metrics of the task beside them.
        latency_ms, energy_mj : of one inference, with their bands; energy above idle.
        training_step_ms : of one optimiser step of so many samples under the plan, with its band; the mean over jobs.
        peak_memory_bytes : of training the largest net, inference_memory_bytes : of an inference; with their bands.
    """
    shipped = outcome.shipped
    latency = shipped.latency(profile)
    works = [
        (share, price(profile, plan, _traced(outcome, net), Job(float(batch), 1.0, batch, "adam")))
        for share, plan, net in outcome.trained
    ]
    return {
        "params": shipped.params,
        "macs": shipped.macs,
        "stored_bytes": len(shipped.file),
        "up_bytes": outcome.up_bytes,
        "down_bytes": outcome.down_bytes,
        **{name: value for name, value in outcome.metrics.items() if name != "loss"},
        "latency_ms": latency.record(_MILLI),
        "training_step_ms": _mean([(share, work.time.record(_MILLI)) for share, work in works]),
        "energy_mj": shipped.energy(profile).record(_MILLI),
        "peak_memory_bytes": max((work.peak for _, work in works), key=lambda peak: float(peak.value)).record(),
        "inference_memory_bytes": shipped.memory(profile).record(),
    }


def on_the_device(outcome: Outcome, profile: DeviceProfile) -> dict[str, Any]:
    """Return facts that need the device.

    Of a model that asks a server, where computing and asking are equal; of one that follows the battery, what it takes
    in each state and how long a full battery lasts.
    """
    shipped = outcome.shipped
    if shipped.bands:
        return _on_battery(shipped, profile)
    requests = [way.asks for way in shipped.ways if way.asks is not None]
    if not requests:
        return {}

    def price(workload: Workload) -> tuple[Estimate, Estimate]:
        time = inference(profile, workload, shipped.precision)
        return time, compute_energy(profile, time, above_idle=True)

    here, energy = price(shipped.workload)
    compared = break_even(profile, requests[0], shipped.workload, price)
    return {
        "computed_ms": _MILLI * float(here.value),
        "computed_mj": _MILLI * float(energy.value),
        "by_access": compared,
    }


def _on_battery(shipped: Shipped, profile: DeviceProfile) -> dict[str, Any]:
    """Return what each state of the battery takes; hours are those of a use that keeps the full state half busy."""
    states = shipped.by_charge
    use = Use(_BUSY / float(states[0][1].latency(profile).value))
    found = [
        {
            "charge_from": charge,
            "macs": one.macs,
            "latency_ms": _MILLI * float(one.latency(profile).value),
            "energy_mj": _MILLI * float(one.energy(profile).value),
        }
        for charge, one in states
    ]
    if profile.battery_j is None:
        return {"by_charge": found}
    hours = [duty(profile, one.latency(profile), use).hours_to_empty for _, one in states]
    return {
        "by_charge": [{**told, "hours_to_empty": alone} for told, alone in zip(found, hours, strict=True)],
        "asked_per_s": use.per_s,
        "hours_to_empty": hours_by_charge(hours, [charge for charge, _ in states]),
        "hours_to_empty_if_full": hours[0],
    }


def _traced(outcome: Outcome, net: nn.Module) -> Workload:
    return trace(net, outcome.spec.input_shape, name=outcome.spec.name)


def _mean(bands: Sequence[tuple[float, dict[str, Any]]]) -> dict[str, Any]:
    if len(bands) == 1:
        return bands[0][1]
    mean = {key: sum(share * band[key] for share, band in bands) for key in ("value", "low", "high")}
    return {**mean, "calibration": bands[0][1]["calibration"]}
