"""The variants of a rollout as numbers: their bytes, and time and energy of an inference on each profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices import published
from fedlite.devices.calibration import Work
from fedlite.devices.compute import configuration, estimate
from fedlite.devices.power import compute_energy
from fedlite.errors import FedliteError
from fedlite.rollout.builds import Variant
from fedlite.scenario.rollout.devices import of_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.rollout_measured import Measured
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.scenario.rollout.model import Delta, Model
    from fedlite.scenario.rollout.model import Variant as Section

    Floats = NDArray[np.float64]

_NEVER = np.inf


def variants(model: Model, profiles: Sequence[DeviceProfile]) -> list[Variant]:
    """Return the variants of a plan, priced on the profiles of its fleet.

    Raises
    ------
    FedliteError
        If a run or an artefact cannot be read, or is none.
    """
    return [_variant(one, profiles, model.delta) for one in model.variants]


def _variant(told: Section, profiles: Sequence[DeviceProfile], delta: Delta | None) -> Variant:
    measured = None
    if told.run is not None:
        from fedlite.compose.rollout_measured import measure

        measured = measure(told)
    full_bytes = _size_bytes(told, measured)
    times = [_latency(told, profile, measured) for profile in profiles]
    energies = [
        _NEVER if time is None else float(compute_energy(profile, time, above_idle=True).value)
        for profile, time in zip(profiles, times, strict=True)
    ]
    peaks = [told.peak_bytes or (0.0 if measured is None else measured.peak_bytes(profile)) for profile in profiles]
    accuracy = [_told(told.accuracy, profile, measured.accuracy if measured else None) for profile in profiles]
    requires = told.requires
    return Variant(
        name=told.name,
        download_bytes=min(full_bytes, _download_bytes(told, measured, delta, full_bytes)),
        full_bytes=full_bytes,
        peak_bytes=np.array(peaks),
        latency_s=np.array([_NEVER if time is None else float(time.value) for time in times]),
        inference_j=np.array(energies),
        accuracy=np.array(accuracy),
        meant_for=np.array([requires.fits(profile=profile.name, tier=profile.tier) for profile in profiles]),
        most_latency_s=requires.latency_s or np.inf,
        least_memory_bytes=requires.memory_bytes or 0.0,
        least_storage_bytes=requires.storage_bytes or 0.0,
    )


def _download_bytes(told: Section, measured: Measured | None, delta: Delta | None, full_bytes: float) -> float:
    """Return what crosses the air: the whole, or the difference to what devices have."""
    if delta is None:
        return full_bytes
    if delta.ratio != "auto":
        return delta.ratio * full_bytes
    from fedlite.compose.rollout_measured import difference_bytes

    packet = Path(told.artifact).read_bytes() if told.artifact else measured.packet if measured else b""
    return difference_bytes(delta, packet)


def _size_bytes(told: Section, measured: Measured | None) -> float:
    """Return what a variant takes in the storage."""
    if told.artifact is not None:
        return float(Path(told.artifact).stat().st_size)
    if told.payload_bytes is not None:
        return told.payload_bytes
    if measured is None:
        raise FedliteError(f"model.variants: got no size of {told.name!r}, expected one; add 'bytes'")
    return float(len(measured.packet))


def _told(table: dict[str, float] | None, profile: DeviceProfile, else_: float | None) -> float:
    found = of_class(table, profile=profile.name, tier=profile.tier)
    return float(found if found is not None else else_ if else_ is not None else np.nan)


def _latency(told: Section, profile: DeviceProfile, measured: Measured | None) -> Estimate | None:
    """Return the time of an inference; None where the profile cannot compute it, or nothing is told of it."""
    try:
        if told.latency_s is not None:
            return _measured_s(told, profile)
        if told.network is not None or told.macs is not None:
            return _predicted_s(told, profile)
        return None if measured is None else measured.latency(profile)
    except FedliteError:
        # An accelerator that was never measured at this precision, say: the variant is not for this profile.
        return None


def _measured_s(told: Section, profile: DeviceProfile) -> Estimate | None:
    found = of_class(told.latency_s, profile=profile.name, tier=profile.tier)
    if found is None:
        return None
    from fedlite.devices.estimate import Calibration, Estimate

    return Estimate.within(found, 1.0, 1.0, Calibration.MEASURED)


def _predicted_s(told: Section, profile: DeviceProfile) -> Estimate:
    net = published.find(told.network) if told.network else published.identify("", macs=told.macs)
    if net is None:  # the plan's own check knows the name
        raise FedliteError(f"model.variants: got the network {told.network!r}, expected a published one")
    work = Work(net.terms, net)
    device = configuration(profile, told.precision or "fp32")
    return estimate(device, device.latency_s(work), work)
