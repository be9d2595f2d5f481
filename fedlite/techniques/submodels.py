"""Techniques in which devices train parts of one model."""

from __future__ import annotations

from typing import Final

from fedlite.compression.plan import Plan
from fedlite.compression.structure.growing import Growing
from fedlite.techniques.technique import COMPUTE, DEVICE, DOWNLINK, UPLINK, WIRE, Example, Technique


def progfed(blocks: int = 3, every: int = 1, first: int = 1) -> Plan:
    """Train the first block alone, then one block more every so many rounds; what is shipped is the whole net."""
    return Plan("progfed", Growing(blocks, every, first))


TECHNIQUES: Final = (
    Technique(
        "progfed", "submodels", (2,), (WIRE, COMPUTE), (DEVICE, UPLINK, DOWNLINK), ("wang2022progfed",), progfed,
        Example(model="resnet8-exits"),
    ),
)  # fmt: skip
