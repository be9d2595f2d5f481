"""What a training step costs a device: affine in the batch, `fixed_s + per_sample_s * batch`.

Per sample, every term costs its inference price times a factor of the training engine: one for what multiplies (about
5: forward, backward and the lost tricks of inference kernels) and one, much larger, for what moves activations, which a
training engine keeps, converts and reads again. The fixed part is graph set-up per layer and the update of the
parameters. Factors come from the MNN suite, a native engine (docs/device-model.md, section on training), not from the
ideal 3 of a FLOP count. Recurrent layers were measured in DL4J on Android alone, and have a factor and a band of
their own.

References
----------
UbiquitousLearning/Benchmark-On-Device-Training (MNN on Snapdragon 855). PKU-Chengxu/FLASH (LSTM layers, DL4J). Lai et
al. 2022, FedScale, charges 3.0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.calibration import Work
from fedlite.devices.compute import on_microcontroller, training_configuration
from fedlite.devices.estimate import Calibration, Estimate, Number
from fedlite.devices.features import (
    ACTIVATIONS,
    CALLS,
    CONV1X1,
    FP32_BYTES,
    LAYERS,
    LINEAR,
    LINEAR_REUSE,
    MILLION,
    TERMS,
    layer_terms,
)
from fedlite.devices.fitted import coefficients
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.profile import DeviceProfile

MCU_FACTOR = 3.0
"""Forward, gradient by input, gradient by weight. mit-han-lab/tiny-training, three nets on an STM32F746: a full step
takes 8.5 to 13.4 s with TensorFlow Lite's kernels (projected: it does not fit), about 0.9 to 1.3 s in their own engine
(as much less as measured sparse steps are); three float passes of its MobileNetV2 0.35 are 1.0 s here."""
MCU_UPDATE = 0.25
"""One multiply-accumulate per parameter and update (a quarter of a million per MB). Assumed."""
MCU_BAND = (0.5, 9.2)
"""The upper end is the plain kernels, 9.2 times as slow as the engine made for training; the lower one is assumed."""

_UNFUSED_TRAFFIC = 4.0
"""An elementwise kernel's traffic counts a quarter of a weighted layer's: it reads and writes once, in order, whereas
the fitted cost of activations also carries im2col and padding. Judged, not measured."""

_FUSED_IN_INFERENCE = (OpClass.NORM, OpClass.ELEMENTWISE, OpClass.EMBEDDING)


@dataclass(frozen=True)
class StepModel:
    """Time of one optimiser step on one device for one network; price any number of jobs with plain arithmetic."""

    fixed_s: float
    per_sample_s: float
    low_factor: float
    high_factor: float
    calibration: Calibration

    def seconds(self, batch: Number) -> Number:
        """Return the expected time of a step with `batch` samples, scalar or array."""
        return self.fixed_s + self.per_sample_s * batch

    def estimate(self, batch: Number, steps: Number = 1.0) -> Estimate:
        """Return the time of `steps` steps with its band."""
        return Estimate.within(self.seconds(batch) * steps, self.low_factor, self.high_factor, self.calibration)


def per_sample_terms(workload: Workload, *, recurrent: float = 1.0) -> NDArray[np.float64]:
    """Return the terms (9,) that one more sample of a batch adds to a training step.

    Unlike inference, training runs normalisation and activation functions as kernels of their own, whose cost is the
    activations they move. Dispatch is paid per step. Weights of recurrent layers count `recurrent` times.
    """
    terms = _moving_terms([layer for layer in workload.layers if not layer.per_step])
    terms[LINEAR] += (recurrent - 1.0) * sum(layer_terms(layer)[LINEAR] for layer in _recurrent(workload))
    terms[LINEAR] /= LINEAR_REUSE
    return terms


def per_step_terms(workload: Workload) -> NDArray[np.float64]:
    """Return the terms (9,) of what a training step computes from weights alone, once for all of its samples."""
    return _moving_terms([layer for layer in workload.layers if layer.per_step])


def _moving_terms(layers: Sequence[Layer]) -> NDArray[np.float64]:
    terms = np.zeros(len(TERMS))
    for layer in layers:
        terms += layer_terms(layer) - _spared(layer)
    terms[[LAYERS, CALLS]] = 0.0
    moved = sum(layer.in_elements + layer.out_elements for layer in layers if layer.op in _FUSED_IN_INFERENCE)
    terms[ACTIVATIONS] += FP32_BYTES * moved / MILLION / _UNFUSED_TRAFFIC
    return terms


def _spared(layer: Layer) -> NDArray[np.float64]:
    """Return the terms (9,) of the backward products that frozen weights spare, of three passes with the forward one.

    Activations are moved as before by whatever is left of the backward pass.
    """
    if layer.backward == _BACKWARD:
        return np.zeros(len(TERMS))
    terms = layer_terms(layer)
    terms[ACTIVATIONS] *= layer.backward == 0
    return (_BACKWARD - layer.backward) / (1 + _BACKWARD) * terms


_BACKWARD = 2
"""Products of the backward pass of a layer that is trained."""


def _recurrent(workload: Workload) -> list[Layer]:
    return [layer for layer in workload.layers if layer.op is OpClass.RECURRENT]


@lru_cache(maxsize=4096)
def step_model(profile: DeviceProfile, workload: Workload, step_time: float = 1.0) -> StepModel:
    """Return the affine step time of a network on a device.

    Parameters
    ----------
    profile : DeviceProfile
    workload : Workload
        Trace of the network that really trains, sliced or factorised as it is; with its `steps`, their mean.
    step_time : float
        Factor of what training does beside the network's own work, such as masks and simulated rounding.

    Raises
    ------
    FedliteError
        If the workload has no layers with weights.
    """
    if workload.steps:
        return _mean_step(profile, workload, step_time)
    device = training_configuration(profile)
    record = coefficients("training.json")["backward"]
    on_mcu = on_microcontroller(profile)
    factors = np.array([MCU_FACTOR if on_mcu else record["factors"][term] for term in TERMS])
    terms = per_sample_terms(workload, recurrent=1.0 if on_mcu else record["recurrent"]["factor"])
    per_sample = float((device.costs * factors) @ terms)
    if not per_sample > 0.0:
        raise FedliteError(f"{workload.model}: got a network without work to train; trace it with its real input shape")
    layers = float(sum(layer.steps for layer in workload.layers if layer.params + layer.frozen > 0))
    per_layer, per_mb = (
        (MCU_FACTOR, MCU_UPDATE) if on_mcu else (record["fixed_per_layer"], record["fixed_per_param_mb"])
    )
    param_mb = FP32_BYTES * workload.params / MILLION
    fixed = float(device.costs[LAYERS]) * per_layer * layers + float(device.costs[CONV1X1]) * per_mb * param_mb
    fixed += float((device.costs * factors) @ per_step_terms(workload))
    low, high = MCU_BAND if on_mcu else record["recurrent"]["band"] if _recurrent(workload) else record["band"]
    # Errors of the device and of the training engine are independent: their logarithms add in quadrature.
    own = device.band(Work(terms))
    low_log = float(np.hypot(np.log(low), np.log(own.low)))
    high_log = float(np.hypot(np.log(high), np.log(own.high)))
    return StepModel(
        fixed * step_time, per_sample * step_time, float(np.exp(-low_log)), float(np.exp(high_log)), device.calibration
    )


def step_s(profile: DeviceProfile, workload: Workload, batch: int, *, steps: int = 1) -> Estimate:
    """Return the time of `steps` optimiser steps of `batch` samples."""
    if batch < 1 or steps < 0:
        raise FedliteError(f"training step: got batch {batch} and {steps} steps, expected a batch of 1 or more")
    return step_model(profile, workload).estimate(float(batch), float(steps))


def _mean_step(profile: DeviceProfile, workload: Workload, step_time: float) -> StepModel:
    """Return the mean over what steps run; every step updates the weights of the whole, drawn or not."""
    whole = step_model(profile, replace(workload, steps=()), step_time)
    parts = [(often, step_model(profile, part, step_time)) for often, part in workload.steps]
    return replace(whole, per_sample_s=sum(often * part.per_sample_s for often, part in parts))
