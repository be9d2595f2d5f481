"""Techniques that write numbers with fewer bits."""

from __future__ import annotations

from typing import Final

from fedlite.compression.constraint.binary import Binary
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.plan import Plan
from fedlite.compression.structure.integer_training import IntegerTraining
from fedlite.compression.structure.quantised_net import QuantisedNet
from fedlite.delivery.binarization import Binarization
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.mixed_precision import MixedPrecision
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.learning.models.layers.binary_residual import BinaryResidual
from fedlite.techniques.technique import COMPUTE, DEVICE, MEMORY, STORED, Example, Recipe, Technique


def static_int8(calibration: str = "client", rows: int = 64, keep: tuple[str, ...] = ()) -> Plan:
    """Ship integer layers whose input ranges were seen on a client's rows, or on noise without data."""
    return Plan("static-int8", deliveries=(StaticQuantization(calibration, rows, keep),))


def dynamic_int8(keep: tuple[str, ...] = ()) -> Plan:
    """Ship linear and recurrent layers with 8-bit weights; ranges of inputs are looked up at run time."""
    return Plan("dynamic-int8", deliveries=(DynamicQuantization(keep),))


def weight_only(bits: int = 4, keep: tuple[str, ...] = ()) -> Plan:
    """Ship packed weights of 8, 4 or 2 bits that are unpacked before use."""
    return Plan("weight-only", deliveries=(WeightQuantization(bits, keep),))


def mixed_precision(budget: float = 0.12, bits: tuple[int, ...] = (8, 4, 2)) -> Plan:
    """Measure what each width costs each layer on held-out rows, and ship the best choice within a budget of bytes."""
    return Plan("mixed-precision", deliveries=(MixedPrecision(budget, bits),))


def qat_int8(rows: int = 64) -> Plan:
    """Train against the rounding of weights to 8 bits and ship integer layers."""
    shipped = StaticQuantization(rows=rows, per_tensor=True)
    return Plan("qat-int8", constraints=(FakeQuant(8),), deliveries=(shipped,))


def qat_int4(keep: tuple[str, ...] = ()) -> Plan:
    """Train against the rounding of weights to 4 bits and ship them packed."""
    return Plan("qat-int4", constraints=(FakeQuant(4),), deliveries=(WeightQuantization(4, keep, per_tensor=True),))


def qat_activations(bits: int = 8, activations: int = 8) -> Plan:
    """Train against the rounding of weights, inputs and biases, as an integer engine computes."""
    return Plan("qat-activations", QuantisedNet(bits, activations))


def binarization(*, ends: bool = False) -> Plan:
    """Train signs with a scale for each row, straight through, and ship one bit a weight."""
    return Plan("binarization", constraints=(Binary(ends=ends),), deliveries=(Binarization(ends=ends),))


def binary_residual(rank: int = 4) -> Recipe:
    """Train linear layers as signs with a low-rank residual beside them."""
    return Recipe(Plan("binary-residual"), layers=BinaryResidual(rank=rank))


def integer_training() -> Plan:
    """Train with activations, errors and gradients of 8 bits, which is what is kept for the backward pass."""
    return Plan("integer-training", IntegerTraining())


def _bits(
    name: str, rows: tuple[int, ...], saves: tuple[str, ...], cites: tuple[str, ...], make: object, **example: object
) -> Technique:
    return Technique(name, "quantization", rows, saves, (DEVICE,), cites, make, Example(**example))  # type: ignore[arg-type]


_JACOB: Final = "jacob2018quantization"
TECHNIQUES: Final = (
    _bits("static-int8", (12,), (STORED, COMPUTE), (_JACOB, "nagel2019datafree"), static_int8),
    _bits("dynamic-int8", (11,), (STORED, COMPUTE), (_JACOB,), dynamic_int8),
    _bits("weight-only", (15,), (STORED,), ("krishnamoorthi2018quantizing",), weight_only),
    _bits("mixed-precision", (14,), (STORED,), ("dong2019hawq",), mixed_precision),
    _bits("qat-int8", (13,), (STORED, COMPUTE), (_JACOB,), qat_int8),
    _bits("qat-int4", (13, 15), (STORED,), (_JACOB,), qat_int4),
    _bits("qat-activations", (13,), (STORED, COMPUTE), (_JACOB,), qat_activations),
    _bits("binarization", (16,), (STORED,), ("courbariaux2016binarized", "rastegari2016xnor"), binarization),
    _bits(
        "binary-residual", (17,), (), ("xing2024bipft",), binary_residual,
        model="mlp",
    ),
    _bits(
        "integer-training", (15,), (MEMORY,), ("wu2018wage", "wang2022niti"), integer_training,
        model="cnn1d", dataset="watch", device="nucleo-h7a3zi",
    ),
)  # fmt: skip
