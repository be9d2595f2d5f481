"""What fedlite knows of one kind of device: plain numbers, each with its source.

Profiles are written in YAML (`device_profiles/`) and read by `scenario/profiles.py`; this module only holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a number is known."""

    MEASURED = "measured"
    DATASHEET = "datasheet"
    ASSUMED = "assumed"


class Tier(StrEnum):
    """Device classes, used to group reports and to choose compression plans."""

    PHONE_FLAGSHIP = "phone-flagship"
    PHONE_HIGH = "phone-high"
    PHONE_MID = "phone-mid"
    PHONE_LOW = "phone-low"
    WEARABLE = "wearable"
    SBC = "sbc"
    EDGE_GPU = "edge-gpu"
    MCU = "mcu"
    NPU = "npu"


class EngineFamily(StrEnum):
    """Families of inference engines that share relative op-class costs (see `coefficients/`)."""

    CPU_FP32 = "cpu-fp32"
    """Mobile CPU kernels on cores that compute in fp32 (before ARMv8.2)."""
    CPU_FP16 = "cpu-fp16"
    """Mobile CPU kernels on cores that compute in fp16 (ARMv8.2 and later)."""
    MCU_INT8 = "mcu-int8"
    """Microcontroller kernels, int8."""
    NPU_INT8 = "npu-int8"
    """Fixed-function accelerators, int8."""


@dataclass(frozen=True)
class Sourced:
    """One number in SI units with where it comes from."""

    value: float
    source: str
    kind: Kind
    text: str
    """The number as written, such as "4.2 Wh"."""


@dataclass(frozen=True)
class Anchor:
    """One measured latency that calibrates the device's scalar for (engine, precision, threads)."""

    model: str
    """A net that `devices/published.py` knows, such as "mobilenet"."""
    input_shape: tuple[int, ...]
    precision: str
    """ "int8", or "fp32" for the engine's float path, which computes in fp16 on `EngineFamily.CPU_FP16`."""
    threads: int
    latency_s: Sourced
    terms: tuple[float, ...] = ()
    """Of a network that is not published: its terms (see `features.TERMS`), written by `fedlite devices calibrate`."""


@dataclass(frozen=True)
class Thermal:
    """Sustained work slows a fanless device down: full speed until `onset_s` of work, then `sustained` of it."""

    onset_s: Sourced
    sustained: Sourced
    """Sustained speed as a fraction of the cold speed, in (0, 1]."""


@dataclass(frozen=True)
class DeviceProfile:
    """One kind of device. Optional numbers are None where the device has no such part (mains power, say)."""

    name: str
    title: str
    tier: Tier
    soc: str
    core_family: str
    """Microarchitecture of the cores that do the work, such as "cortex-a76" or "cortex-m4"."""
    engine: EngineFamily
    cores: int
    threads: int
    """Threads a job uses."""
    clock_hz: Sourced
    ram_bytes: Sourced
    job_ram_bytes: Sourced
    """Memory that a background job may take before the system kills it."""
    storage_bytes: Sourced
    """Storage free for models and data of a job."""
    idle_w: Sourced
    """Whole device, radio idle, screen off."""
    active_w: Sourced
    """Whole device while computing at `threads` and `clock_hz` (the operating point of its times), idle included."""
    radios: tuple[str, ...]
    """Access types of `devices/network.py`, preferred first."""
    radio_generation: str
    """Parameter set of `devices/radio.py`."""
    peak_flops: Sourced | None = None
    """fp32 peak of all cores from the spec sheet."""
    battery_j: Sourced | None = None
    charge_w: Sourced | None = None
    active_clock_hz: Sourced | None = None
    """Clock at which the power was measured, where it is not `clock_hz`; `active_w` is that of `clock_hz`."""
    thermal: Thermal | None = None
    anchors: tuple[Anchor, ...] = ()
    notes: str = ""
