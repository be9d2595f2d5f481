"""Techniques that write numbers with fewer bits."""

from __future__ import annotations

from typing import Final

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.plan import Plan
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.techniques.technique import COMPUTE, DEVICE, STORED, Technique


def static_int8(calibration: str = "client", rows: int = 64, keep: tuple[str, ...] = ()) -> Plan:
    """Ship integer layers whose input ranges were seen on a client's rows, or on noise without data."""
    return Plan("static-int8", deliveries=(StaticQuantization(calibration, rows, keep),))


def dynamic_int8(keep: tuple[str, ...] = ()) -> Plan:
    """Ship linear and recurrent layers with 8-bit weights; ranges of inputs are looked up at run time."""
    return Plan("dynamic-int8", deliveries=(DynamicQuantization(keep),))


def weight_only(bits: int = 4, keep: tuple[str, ...] = ()) -> Plan:
    """Ship packed weights of 8, 4 or 2 bits that are unpacked before use."""
    return Plan("weight-only", deliveries=(WeightQuantization(bits, keep),))


def qat_int8(rows: int = 64) -> Plan:
    """Train against the rounding to 8 bits and ship integer layers."""
    return Plan("qat-int8", constraints=(FakeQuant(8),), deliveries=(StaticQuantization(rows=rows),))


TECHNIQUES: Final = (
    Technique(
        "static-int8", "quantization", (12,), (STORED, COMPUTE), (DEVICE,),
        ("jacob2018quantization", "nagel2019datafree"), static_int8,
    ),
    Technique(
        "dynamic-int8", "quantization", (11,), (STORED, COMPUTE), (DEVICE,), ("jacob2018quantization",), dynamic_int8,
    ),
    Technique(
        "weight-only", "quantization", (14, 15), (STORED,), (DEVICE,), ("krishnamoorthi2018quantizing",), weight_only,
    ),
    Technique(
        "qat-int8", "quantization", (13,), (STORED, COMPUTE), (DEVICE,), ("jacob2018quantization",), qat_int8,
    ),
)  # fmt: skip
