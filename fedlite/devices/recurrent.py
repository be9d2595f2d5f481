"""Training time of one LSTM layer: five shared terms and one scalar per device.

Recurrent layers do not follow their multiply-accumulates: every time step dispatches small products and streams the
weights again. Terms per batch: a constant, multiply-accumulates, weight traffic, time steps, elementwise gates.

References
----------
PKU-Chengxu/FLASH, LSTM training grids of two phones (DL4J), see docs/device-model.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices.features import FP32_BYTES, MILLION

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERMS: Final = ("constant", "mmac", "streamed_mb", "steps", "gate_mb")
_GATES = 4
_NAME = re.compile(r"LSTM in=(\d+) out=(\d+) seq=(\d+)")


def terms(inputs: int, outputs: int, steps: int, batch: int) -> NDArray[np.float64]:
    """Return the five terms of a batch through one LSTM layer (fp32)."""
    weights = _GATES * outputs * (inputs + outputs)
    macs = weights * steps * batch
    gates = _GATES * outputs * steps * batch
    return np.array(
        [1.0, macs / MILLION, FP32_BYTES * weights * steps / MILLION, float(steps), FP32_BYTES * gates / MILLION]
    )


def named_terms(model: str, batch: int) -> NDArray[np.float64] | None:
    """Return the terms of a layer named like "LSTM in=100 out=100 seq=10", None for any other name."""
    match = _NAME.search(model)
    if match is None:
        return None
    return terms(int(match[1]), int(match[2]), int(match[3]), batch)
