"""What a microcontroller's name tells: its core, its clock and whether the core has vector or DSP instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fedlite.devices.cores import GHZ, MHZ

KINDS: Final[dict[str, tuple[float, float]]] = {
    "m0": (0.13, 0.01), "m3": (0.25, 0.015), "m4": (0.55, 0.15), "m33": (0.6, 0.17), "m7": (1.0, 0.35),
    "m55": (3.0, 1.0), "m85": (3.0, 1.0), "rx": (0.4, 0.15), "lx6": (0.3, 0.1), "lx7": (1.0, 0.1),
    "riscv": (0.25, 0.05), "riscv-dsp": (0.6, 0.1), "riscv-vector": (1.0, 0.1),
}  # fmt: skip
"""Kind -> multiply-accumulates per cycle, int8 and fp32, as vendors' libraries reach them; the fit corrects them."""

_BY_NAME: Final[tuple[tuple[str, str], ...]] = (
    (r"cortex[- ]?m85", "m85"), (r"cortex[- ]?m55", "m55"), (r"cortex[- ]?m33", "m33"), (r"cortex[- ]?m23", "m0"),
    (r"cortex[- ]?m7", "m7"), (r"cortex[- ]?m4", "m4"), (r"cortex[- ]?m3\b", "m3"), (r"cortex[- ]?m[01]", "m0"),
    (r"esp32[- ]?p4", "riscv-vector"), (r"esp32[- ]?[ch]\d", "riscv"), (r"esp32[- ]?s3|xtensa[- ]?lx7|\blx7", "lx7"),
    (r"esp32|xtensa|\blx6", "lx6"), (r"nx27v", "riscv-vector"), (r"\bd[24]5|_d[24]5|andes", "riscv-dsp"),
    (r"risc", "riscv"),
)  # fmt: skip
"""Core names in text, first match wins: a Cortex-M33 is not a Cortex-M3."""

_CHIPS: Final[tuple[tuple[str, str, float], ...]] = (
    ("h7a3|h7b3", "m7", 280), ("h743|h745|h750|portenta", "m7", 480), ("h747", "m7", 400),
    ("h72[35]|h73[05]", "m7", 550),
    ("f74[56]|f750|f769|f767|f722", "m7", 216), ("imxrt|teensy ?4|rt10[56]", "m7", 600), ("same70", "m7", 300),
    ("l4[rs]5", "m4", 120), ("l4[3-9]\\d", "m4", 80), ("u5[7-9a]\\d", "m33", 160), ("u3[78]5", "m33", 96),
    ("u0[37]", "m0", 56), ("g0b1|g07|l0[5-7]", "m0", 64), ("g4[37]", "m4", 170), ("f401", "m4", 84),
    ("f411", "m4", 100), ("f40[57]|f41[57]", "m4", 168), ("f4[2346]\\d", "m4", 180), ("wb55|wl55", "m4", 64),
    ("wba5", "m33", 100), ("l5[56]2", "m33", 110), ("h5[0367]\\d", "m33", 250), ("n657", "m55", 800),
    ("cy8c|psoc ?6", "m4", 150), ("rx65n", "rx", 120), ("nrf5340", "m33", 128), ("nrf54l", "m33", 128),
    ("nrf52840|nano 33 ble|nrf52", "m4", 64), ("ra8[dm]1", "m85", 480), ("ra6m[45]", "m33", 200),
    ("rp2040|raspberry pi pico\\b(?! 2)|\\bpico\\b(?! 2)", "m0", 133), ("rp2350|pico 2", "m33", 150),
    ("samd51|feather m4", "m4", 120), ("samd21", "m0", 48), ("apollo3", "m4", 96), ("apollo4", "m4", 192),
    ("max78", "m4", 100), ("esp32[- ]?p4", "riscv-vector", 360), ("esp32[- ]?[ch]\\d", "riscv", 160),
    ("esp32[- ]?s3", "lx7", 240), ("esp32", "lx6", 240), ("k210", "riscv-dsp", 400),
)  # fmt: skip
"""Core and clock (MHz) of chips that tables name without them (vendors' product pages)."""

_CLOCK = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(ghz|mhz)|_(\d+)(mhz)")


@dataclass(frozen=True)
class Mcu:
    """A microcontroller's core."""

    kind: str
    """A name of `KINDS`, or empty."""
    clock_hz: float | None

    def lanes(self, *, float_math: bool) -> float:
        """Multiply-accumulates per cycle that libraries reach on this kind of core."""
        return KINDS.get(self.kind, (0.5, 0.1))[int(float_math)]


@lru_cache(maxsize=4096)
def read(text: str) -> Mcu:
    """Return what a board's or chip's description tells of its core."""
    lowered = text.lower()
    chip = next(((kind, mhz) for pattern, kind, mhz in _CHIPS if re.search(f"(?:{pattern})", lowered)), None)
    kind = next((kind for pattern, kind in _BY_NAME if re.search(pattern, lowered)), chip[0] if chip else "")
    clocks = [float(m[1] or m[3]) * (GHZ if (m[2] or m[4]) == "ghz" else MHZ) for m in _CLOCK.finditer(lowered)]
    # Boards that run below their maximum say so; of several numbers the first belongs to the core.
    clock = clocks[0] if clocks else chip[1] * MHZ if chip else None
    return Mcu(kind, clock)
