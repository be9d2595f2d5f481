"""What a processor's name tells before anything is measured: pipeline, half-precision arithmetic, clock.

Reads both the tidy `core_family` of a profile ("cortex-a76") and the free text of benchmark tables ("Rockchip RK3399
(Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IN_ORDER: Final = frozenset({"a5", "a7", "a8", "a32", "a35", "a53", "a55", "a510", "a520", "c906", "c908", "arm1176"})
"""Cores that issue in program order (ARM and T-Head technical reference manuals)."""

HALF_MATH: Final = frozenset(
    {"a55", "a75", "a76", "a77", "a78", "a78ae", "a78c", "a510", "a520", "a710", "a715", "a720", "x1", "x2", "x3", "x4"}
    | {"carmel", "kryo385", "kryo460", "kryo475", "kryo485", "kryo585", "n1", "v1"}
)
"""Cores with ARMv8.2 fp16 arithmetic."""

_CORE = re.compile(r"(?:cortex[- ]?)?\b([axnv]\d{1,3}(?:ae|c)?)\b|\b(carmel|denver2?|c90[68]|arm1176|kr?yr?o ?\d*)\b")
_CLOCK = re.compile(r"(\d+(?:\.\d+)?) ?(ghz|mhz)")

_SOC_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("jetson nano", "cortex-a57 1.43 ghz"),
    ("sd821", "kryo 2.15 ghz"),
    ("sd835", "cortex-a73 2.35 ghz"),
    ("sd845", "kryo385 2.5 ghz"),
    ("sd855", "kryo485 2.84 ghz"),
    ("snapdragon 765", "kryo475"),
    ("snapdragon 845", "kryo385"),
    ("bcm2835", "arm1176 1.0 ghz"),
    ("bcm2836", "cortex-a7 0.9 ghz"),
    ("bcm2837", "cortex-a53 1.4 ghz"),
    ("bcm2711", "cortex-a72 1.5 ghz"),
    ("bcm2712", "cortex-a76 2.4 ghz"),
    ("raspberry pi 5", "cortex-a76 2.4 ghz"),
    ("raspberry pi 4", "cortex-a72 1.5 ghz"),
    ("h7a3", "280 mhz"),
    ("f746", "216 mhz"),
    ("l4r5", "120 mhz"),
    ("u575", "160 mhz"),
    ("g0b1", "64 mhz"),
    ("cy8c", "150 mhz"),
    ("rx65n", "120 mhz"),
    ("nrf5340", "128 mhz"),
    ("nrf52840", "64 mhz"),
    ("ra8d1", "480 mhz"),
)
"""Core and clock of chips that benchmark tables name without them (vendors' product pages)."""


@dataclass(frozen=True)
class Cores:
    """What is known of the cores that do the work."""

    in_order: bool
    half_math: bool
    clock_hz: float | None
    named: bool
    """Whether the text named a core at all."""


def read(text: str, *, little: bool = False) -> Cores:
    """Return what a description tells of the working cores.

    Parameters
    ----------
    text : str
        A core family or the free text of a benchmark table; of several clusters the fastest clock counts.
    little : bool
        Whether the work was bound to the slow cluster.
    """
    lowered = text.lower()
    extra = next((known for soc, known in _SOC_TEXT if soc in lowered), "")
    lowered = f"{lowered} {extra}"
    names = [(match[1] or match[2]).replace("kyro", "kryo").replace(" ", "") for match in _CORE.finditer(lowered)]
    clocks = [float(match[1]) * (1e9 if match[2] == "ghz" else 1e6) for match in _CLOCK.finditer(lowered)]
    slow = [name in IN_ORDER for name in names]
    # Of a big.LITTLE pair the work runs on the big cores unless it was bound to the little ones.
    in_order = bool(slow) and (any(slow) if little else all(slow))
    clock = (min(clocks) if little else max(clocks)) if clocks else None
    return Cores(in_order, any(name in HALF_MATH for name in names), clock, bool(names))


def covariates(threads: int, *, in_order: bool, half_math: bool) -> NDArray[np.float64]:
    """Return the covariates (4,) of a configuration, in the order of `population.COVARIATES`."""
    log2_threads = float(np.log2(max(1, threads)))
    return np.array([log2_threads, float(in_order), float(half_math), float(half_math) * log2_threads])


_MCU_M7 = re.compile(r"cortex-m(?:7|85)|stm32h7|stm32f7|h7a3|h743|f746|ra8d1", re.IGNORECASE)
_MCU_PLAIN = re.compile(r"cortex-m[03]|g0b1|stm32g0|risc|andes|xtensa-lx6|esp32(?!-[sp])", re.IGNORECASE)


def mcu_covariates(text: str, *, float_math: bool) -> NDArray[np.float64]:
    """Return the covariates (3,) of a microcontroller configuration.

    In the order of `population.MCU_COVARIATES`: dual-issue core (Cortex-M7, M85), core without DSP instructions,
    floating-point kernels.
    """
    flags = (_MCU_M7.search(text), _MCU_PLAIN.search(text), float_math)
    return np.array([float(bool(flag)) for flag in flags])
