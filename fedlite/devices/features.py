"""A network's work as nine numbers, one per op class: the only view of a model that the latency model has.

Convolutions count multiply-accumulates (in millions), fully connected and recurrent layers the megabytes of weights
they stream, and every weighted layer adds one dispatch and the megabytes of activations it reads and writes; the call
itself (interpreter, driver, copies) is the ninth. Pooling, normalisation and activation functions are fused into their
neighbours by every engine modelled here, so their cost is inside the other terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices.workload import Layer, OpClass, Workload

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERMS: Final = (
    "conv3x3",
    "conv1x1",
    "conv_other",
    "depthwise",
    "grouped",
    "linear",
    "layers",
    "activations",
    "calls",
)
"""Names of the terms, in the order of every terms array. Units: MMAC x 5, MB of fp32 weights, count, MB of fp32, 1."""

CONV3X3, CONV1X1, CONV_OTHER, DEPTHWISE, GROUPED, LINEAR, LAYERS, ACTIVATIONS, CALLS = range(len(TERMS))

DISPATCH: Final = np.isin(np.arange(len(TERMS)), (LAYERS, CALLS))
"""Which terms (9,) are paid whatever the size of the work."""

MILLION: Final = 1e6
FP32_BYTES: Final = 4.0

LINEAR_REUSE: Final = 4.0
"""Samples of a batch that a fully connected layer serves at the price of streaming its weights once.

At batch 1 a weight costs its four bytes of traffic; at larger batches its multiply-accumulates. The fitted costs of
one MB of weights (about 1) and of one MMAC of matrix product (1) meet at four bytes per multiply-accumulate.
"""

_DENSE: Final = {OpClass.CONV3X3: CONV3X3, OpClass.CONV1X1: CONV1X1, OpClass.CONV_OTHER: CONV_OTHER}


def layer_terms(layer: Layer, batch: int = 1) -> NDArray[np.float64]:
    """Return the terms (9,) of one layer for a batch."""
    terms = np.zeros(len(TERMS))
    if layer.op in (OpClass.NORM, OpClass.ELEMENTWISE, OpClass.EMBEDDING):
        return terms
    if layer.op is OpClass.LINEAR and layer.macs > layer.weights:
        # Over many positions (tokens, attention) a product no longer streams its weights: a pointwise convolution.
        terms[CONV1X1] = layer.macs * batch / MILLION
    elif layer.op in (OpClass.LINEAR, OpClass.RECURRENT):
        streamed_mb = FP32_BYTES * layer.weights * layer.steps / MILLION
        terms[LINEAR] = streamed_mb * max(1.0, batch / LINEAR_REUSE)
    elif layer.op is OpClass.DEPTHWISE:
        terms[_grouped(layer)] = layer.macs * batch / MILLION
    else:
        terms[_DENSE[layer.op]] = layer.macs * batch / MILLION
    terms[LAYERS] = layer.steps
    terms[ACTIVATIONS] = FP32_BYTES * (layer.in_elements + layer.out_elements) * batch / MILLION
    return terms


_DENSE_GROUP: Final = 32
"""Channels from which a group of a convolution is computed like a dense one of its own (AlexNet, ShuffleNet)."""


def _grouped(layer: Layer) -> int:
    width = layer.in_channels // max(layer.groups, 1)
    if width <= 1:
        return DEPTHWISE
    if width < _DENSE_GROUP:
        return GROUPED
    if layer.kernel == 1:
        return CONV1X1
    return CONV3X3 if layer.kernel == _WINOGRAD_KERNEL and layer.stride == 1 else CONV_OTHER


_WINOGRAD_KERNEL: Final = 3


def workload_terms(workload: Workload, batch: int = 1) -> NDArray[np.float64]:
    """Return the terms (9,) of one forward pass of a batch."""
    total = np.zeros(len(TERMS))
    for layer in workload.layers:
        total += layer_terms(layer, batch)
    total[CALLS] = 1.0
    return total
