"""Peak memory of inference and training, and what happens near the limit: slow first, then killed.

    training = runtime + weights + gradients + optimiser state + engine x (activations + unfolded inputs) x batch

Weights that are frozen count once: they have no gradient and no state.

Saved activations are those that autograd keeps (`Layer.saved_elements`; the batch itself is among them), so
`tensor_bytes` equals what torch allocates for tensors, but for nets that train in integers: what they keep are bytes,
and an engine that multiplies bytes is priced. torch multiplies floats here, and holds their float copies for a moment,
up to 2.3 times as much as is priced (docs/log.md). A phone's training engine takes more: 66 MB before the first
tensor, the inputs that convolutions unfold into matrices, and copies of both; its factor and band are fitted on the
memory of the MNN suite (`coefficients/training.json`). What decides whether a job fits is the upper end of the band.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices.estimate import Calibration, Estimate, Number
from fedlite.devices.features import ACTIVATIONS, MILLION, layer_terms
from fedlite.devices.fitted import coefficients
from fedlite.devices.workload import OpClass
from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from fedlite.devices.workload import Layer, Workload

FP32_BYTES: Final = 4.0

RUNTIME_BYTES: Final = 66e6
"""Resident memory of a training runtime before any tensor (MNN suite, LeNet-5: 66 MB at any batch)."""

OPTIMIZER_STATE: Final = {"sgd": 0.0, "sgd-momentum": 1.0, "adam": 2.0, "adamw": 2.0, "rmsprop": 1.0, "adagrad": 1.0}
"""State tensors per parameter (torch.optim)."""

BAND: Final = (0.90, 1.10)
"""Of tensors, which are counted, not modelled: the allocator's rounding and fragmentation (tests: within 10 %)."""

WALL_AT: Final = 1.5
"""Load at which the system kills a job. Assumed: MobileNetV2 at batch 32 (1.27 of the ceiling) is missing from the MNN
suite, SqueezeNet at 1.26 still ran."""


def slow_slope() -> float:
    """Return the extra time per unit of memory beyond the budget, from the one swapping point of the MNN suite."""
    return float(coefficients("training.json")["cliff"]["slope"])


def state_copies(optimizer: str, momentum: float = 0.0) -> float:
    """Return optimiser state tensors per parameter."""
    name = "sgd-momentum" if optimizer == "sgd" and momentum > 0.0 else optimizer
    if name not in OPTIMIZER_STATE:
        raise UnknownNameError("optimizer", optimizer, list(OPTIMIZER_STATE))
    return OPTIMIZER_STATE[name]


def tensor_bytes(
    workload: Workload,
    batch: int,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_copies: float = 0.0,
) -> float:
    """Return the bytes of all tensors alive at the peak of a training step.

    The backward pass walks the layers from last to first: what layer i and those before it saved is still alive, the
    parameter gradients of layer i and those after it are there already, and beside them stand the gradients of layer
    i's output and input. The peak is the worst layer, or the update with all gradients.
    """
    if batch < 1:
        raise FedliteError(f"batch: got {batch}, expected 1 or more")
    params = np.array([layer.params for layer in workload.layers], dtype=np.float64)
    saved = np.array([layer.saved_elements for layer in workload.layers], dtype=np.float64)
    passing = np.array([_passing(layer) for layer in workload.layers], dtype=np.float64)
    if len(passing):
        passing[0] = workload.layers[0].out_elements  # nobody asks for the gradient of the data
    gradients = np.cumsum(params[::-1])[::-1]
    times = np.array([1.0 if layer.per_step else batch for layer in workload.layers])
    walk = batch * np.cumsum(saved) + times * passing + gradients
    total = float(params.sum())
    copies = 1.0 + state_copies(optimizer, momentum) + weight_copies
    # Where little is saved, the worst moment is one of the forward pass.
    forward = float(batch * workload.peak_activation_elements) if workload.frozen else 0.0
    return FP32_BYTES * (copies * total + workload.frozen + max(float(walk.max(initial=0.0)), forward, total))


def _passing(layer: Layer) -> int:
    """Return the elements of the gradients that stand at a layer's two ends, of one sample."""
    if not layer.backward:
        return 0
    return layer.out_elements + (layer.in_elements if layer.input_gradient else 0)


def moving_bytes(workload: Workload) -> float:
    """Return what grows with the batch in a training engine, bytes of one sample (fp32).

    That is what weighted layers read and write, and the matrices that dense convolutions unfold their inputs into. In a
    net with frozen weights it is what autograd keeps of all layers but those that learn: without weights to learn their
    inputs are needed for no gradient of weights, and before the first that learns for nothing at all.
    """
    growing = [layer for layer in workload.layers if not layer.per_step]
    learning = [layer for layer in growing if layer.params or not workload.frozen]
    dense = [layer for layer in learning if layer.op in _UNFOLDING and layer.out_channels]
    unfolded = FP32_BYTES * sum(layer.macs / layer.out_channels for layer in dense)
    kept = FP32_BYTES * float(sum(layer.saved_elements for layer in growing if workload.frozen and not layer.params))
    return unfolded + kept + MILLION * float(sum(layer_terms(layer)[ACTIVATIONS] for layer in learning))


def linear_params(workload: Workload) -> int:
    """Return the parameters of fully connected layers, which training engines hold more often than others."""
    return sum(layer.params + layer.frozen for layer in workload.layers if layer.op is OpClass.LINEAR)


_UNFOLDING: Final = (OpClass.CONV3X3, OpClass.CONV_OTHER)


@lru_cache(maxsize=4096)
def training_peak_bytes(
    workload: Workload,
    batch: int,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    *,
    runtime_bytes: float | None = None,
    weight_copies: float = 0.0,
) -> Estimate:
    """Return the peak memory of training, in bytes.

    Parameters
    ----------
    workload : Workload
        Of the network that really trains (width-sliced, if so).
    batch : int
    optimizer, momentum
        See `OPTIMIZER_STATE`.
    runtime_bytes : float, optional
        The runtime's own memory where it is known, 0 for tensors alone; a phone's training engine if not given.
    weight_copies : float
        Further copies of the weights, such as masks and their rounded values: they cost memory and save none.
    """
    tensors = tensor_bytes(workload, batch, optimizer, momentum, weight_copies)
    if runtime_bytes is not None:
        return Estimate.within(runtime_bytes + tensors, *BAND, Calibration.ENGINE_FAMILY)
    engine = coefficients("training.json")["memory"]
    low, high = engine["band"]
    copies = 2.0 + state_copies(optimizer, momentum) + weight_copies
    fixed = RUNTIME_BYTES + FP32_BYTES * (copies * workload.params + workload.frozen)
    # One net of the suite has large linear layers: what it holds more than once is expected, not relied upon.
    more = FP32_BYTES * engine["linear_copies"] * linear_params(workload)
    moving = engine["factor"] * batch * moving_bytes(workload)
    value = max(fixed + more + moving, RUNTIME_BYTES + tensors)
    least = max(BAND[0] * fixed + low * moving, RUNTIME_BYTES + BAND[0] * tensors)
    most = max(BAND[1] * (fixed + more) + high * moving, BAND[1] * value)
    return Estimate(value, min(least, value), most, Calibration.ENGINE_FAMILY)


def inference_peak_bytes(
    workload: Workload, batch: int = 1, precision: str = "fp32", *, runtime_bytes: float = 0.0, in_flash: bool = False
) -> Estimate:
    """Return the peak memory of a forward pass: weights, and the largest set of activations alive at once.

    A microcontroller reads its weights from flash (`in_flash`), so only its activations take memory.
    """
    if batch < 1:
        raise FedliteError(f"batch: got {batch}, expected 1 or more")
    widths = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0}
    if precision not in widths:
        raise UnknownNameError("precision", precision, list(widths))
    elements = batch * workload.peak_activation_elements + (0 if in_flash else workload.params + workload.frozen)
    return Estimate.within(runtime_bytes + widths[precision] * elements, *BAND, Calibration.ENGINE_FAMILY)


def wall_at(*, swaps: bool) -> float:
    """Return the load at which a job is killed: a device that cannot swap, such as a microcontroller, has no more."""
    return WALL_AT if swaps else 1.0


def memory_slowdown(peak_bytes: Number, budget_bytes: Number, *, swaps: bool = True) -> Number:
    """Return the factor on time when a job wants `peak_bytes` of `budget_bytes`: 1, then rising, then inf (killed)."""
    load = np.asarray(peak_bytes, dtype=np.float64) / np.asarray(budget_bytes, dtype=np.float64)
    slow = 1.0 + slow_slope() * np.maximum(load - 1.0, 0.0)
    factor = np.where(load > wall_at(swaps=swaps), np.inf, slow)
    return float(factor) if factor.ndim == 0 else factor
