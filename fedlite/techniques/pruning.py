"""Techniques that leave weights out."""

from __future__ import annotations

from typing import Final

from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.techniques.technique import COMPUTE, DEVICE, DOWNLINK, MEMORY, STORED, UPLINK, WIRE, Example, Technique

_SPARSE: Final = ("nonzero", "fp16", "zstd")


def unstructured_pruning(sparsity: float = 0.8, scope: str = "global") -> Plan:
    """Hold the smallest weights at zero and train the others on; zeros are left out on the wire only."""
    return Plan("unstructured-pruning", constraints=(Magnitude(sparsity, scope),), up=_SPARSE, down=_SPARSE)


def width_slicing(share: float = 0.5) -> Plan:
    """Train and ship the first channels of every layer; the others are physically removed."""
    return Plan("width-slicing", Width(share))


TECHNIQUES: Final = (
    Technique(
        "unstructured-pruning", "pruning", (1, 5), (WIRE,), (UPLINK, DOWNLINK), ("han2015learning",),
        unstructured_pruning,
    ),
    Technique(
        "width-slicing", "pruning", (2,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK),
        ("diao2021heterofl",), width_slicing, Example(set={"share": 0.5}),
    ),
)  # fmt: skip
