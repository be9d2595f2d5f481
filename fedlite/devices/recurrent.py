"""Training time of one LSTM layer: five terms, and phones that lean to one side of them.

Recurrent layers do not follow their multiply-accumulates: every time step dispatches small products and streams the
weights again. Terms per batch: a constant, multiply-accumulates, weight traffic, time steps, elementwise gates. What
grows with the batch and what an engine does step by step differ between phones by unlike factors, so one scalar is not
enough: the layers are a population (`fitted`) of their own, in which the batch's share of the costs strays.

References
----------
PKU-Chengxu/FLASH, LSTM training grids of two phones (DL4J), see docs/device-model.md.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices.features import FP32_BYTES, MILLION
from fedlite.devices.fitted import FittedPopulation, coefficients, from_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERMS: Final = ("constant", "mmac", "streamed_mb", "steps", "gate_mb")
GATES: Final = 4
_NAME = re.compile(r"LSTM in=(\d+) out=(\d+) seq=(\d+)")


def terms(inputs: int, outputs: int, steps: int, batch: int) -> NDArray[np.float64]:
    """Return the five terms of a batch through one LSTM layer (fp32)."""
    weights = GATES * outputs * (inputs + outputs)
    macs = weights * steps * batch
    gates = GATES * outputs * steps * batch
    return np.array(
        [1.0, macs / MILLION, FP32_BYTES * weights * steps / MILLION, float(steps), FP32_BYTES * gates / MILLION]
    )


def named_terms(model: str, batch: int) -> NDArray[np.float64] | None:
    """Return the terms of a layer named like "LSTM in=100 out=100 seq=10", None for any other name."""
    known = sizes(model)
    return None if known is None else terms(*known, batch)


def sizes(model: str) -> tuple[int, int, int] | None:
    """Return (inputs, outputs, time steps) of a layer named as `named_terms` takes it, None for any other name."""
    match = _NAME.search(model)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


@cache
def population() -> FittedPopulation:
    """Return the packaged population of LSTM layers; its arrays over terms have shape (5,)."""
    return from_json("recurrent", coefficients("training.json")["recurrent"]["population"])
