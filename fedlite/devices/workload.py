"""The work of one forward pass, per layer, as plain numbers: what every cost model reads.

A torch model is traced into a `Workload` once, in `learning/`; nothing here knows torch. All sizes are for ONE sample
and count elements, not bytes, so that one record serves every precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class OpClass(StrEnum):
    """Classes of layers whose cost per multiply-accumulate differs (docs/concepts: device model)."""

    CONV3X3 = "conv3x3"
    """Dense convolution, kernel 3 (or 3x3), stride 1: the winograd-friendly case."""
    CONV1X1 = "conv1x1"
    """Dense pointwise convolution."""
    CONV_OTHER = "conv_other"
    """Every other dense convolution, 1-d and 2-d."""
    DEPTHWISE = "depthwise"
    """Depthwise and grouped convolution."""
    LINEAR = "linear"
    """Fully connected layer (its cost follows the bytes of its weights at batch 1)."""
    RECURRENT = "recurrent"
    """LSTM, GRU or RNN layer, all time steps."""
    EMBEDDING = "embedding"
    """Table look-up: no multiply-accumulates."""
    NORM = "norm"
    """Batch, group or layer normalisation."""
    ELEMENTWISE = "elementwise"
    """Activations, pooling, additions and everything without weights."""


@dataclass(frozen=True)
class Layer:
    """One layer's work for one sample."""

    name: str
    op: OpClass
    macs: int
    """Multiply-accumulates of the forward pass."""
    params: int
    """Trainable scalars, biases included."""
    weights: int
    """Elements of the weight tensors alone (no biases), the `weights` of the published layer tables."""
    in_elements: int
    out_elements: int
    saved_elements: int
    """Elements that autograd keeps from this layer's forward pass for its backward pass."""
    kernel: int = 0
    stride: int = 0
    in_channels: int = 0
    out_channels: int = 0
    groups: int = 1
    steps: int = 1
    """Time steps of a recurrent layer, 1 otherwise."""
    per_step: bool = False
    """Whether it computes from the model's own tensors alone, such as a rounded or composed weight: once for a batch of
    any size."""
    frozen: int = 0
    """Weights that are not trained: they take memory once, without gradient and optimiser state."""
    backward: int = 2
    """Products of the backward pass, each as much work as the forward one: by the input and by the weights; 1 where
    weights are frozen, 0 where nothing before them is trained either."""
    input_gradient: bool = True
    """Whether a training step holds the gradient of its input; told by nets with frozen weights alone."""


_PER_CHANNEL: Final = ("in_elements", "out_elements", "saved_elements", "in_channels", "out_channels")


@dataclass(frozen=True)
class Workload:
    """A model's work on one input shape, layer by layer in execution order."""

    model: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    peak_activation_elements: int
    """Largest sum of activations alive at once in a forward pass without autograd, for one sample."""
    steps: tuple[tuple[float, Workload], ...] = ()
    """What a step of training runs where it is not this, but one of several parts: each so often, on average."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of one sample."""
        return sum(layer.macs for layer in self.layers)

    @property
    def step_macs(self) -> float:
        """Multiply-accumulates of a forward pass in training, on average."""
        return sum(often * part.macs for often, part in self.steps) if self.steps else self.macs

    @property
    def params(self) -> int:
        """Trainable scalars."""
        return sum(layer.params for layer in self.layers)

    @property
    def frozen(self) -> int:
        """Scalars that are multiplied with and never trained."""
        return sum(layer.frozen for layer in self.layers)

    @property
    def saved_elements(self) -> int:
        """Elements kept for the backward pass, for one sample."""
        return sum(layer.saved_elements for layer in self.layers)

    def widened(self, factor: float) -> Workload:
        """Return the work of a net with so many times the channels in every layer, by no name that is known.

        What multiplies channels by channels grows with the square, what treats each channel by itself in proportion.
        """

        def wider(layer: Layer) -> Layer:
            times = factor if layer.op is OpClass.DEPTHWISE or not layer.macs else factor**2
            return replace(
                layer,
                macs=round(layer.macs * times),
                params=round(layer.params * times),
                weights=round(layer.weights * times),
                **{one: max(1, round(getattr(layer, one) * factor)) for one in _PER_CHANNEL if getattr(layer, one)},
            )

        peak = round(self.peak_activation_elements * factor)
        return Workload("", self.input_shape, tuple(wider(one) for one in self.layers), peak)

    def macs_by_op(self) -> dict[OpClass, int]:
        """Return the multiply-accumulates of each class, every class present."""
        return {op: sum(layer.macs for layer in self.layers if layer.op is op) for op in OpClass}
