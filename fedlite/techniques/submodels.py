"""Techniques in which devices train parts of one model."""

from __future__ import annotations

from typing import Final

from fedlite.compression.plan import Plan
from fedlite.compression.structure.depth import Depth
from fedlite.compression.structure.growing import Growing
from fedlite.compression.structure.heterofl import HeteroFL
from fedlite.compression.structure.ordered import Ordered
from fedlite.delivery.batch_statistics import BatchStatistics
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Recipe,
    Technique,
)


def heterofl(share: float = 0.5, *, static_norm: bool = False) -> Recipe:
    """Train and ship the first channels of every layer, scaled in training so that all widths see like magnitudes."""
    if static_norm:
        plan = Plan("heterofl", HeteroFL(share), deliveries=(BatchStatistics(),))
        return Recipe(plan, options=(("norm", "static"),))
    return Recipe(Plan("heterofl", HeteroFL(share)))


def depthfl(blocks: int = 2) -> Recipe:
    """Train and ship the first blocks of a net with exits, whose exits learn from the labels and from each other."""
    return Recipe(Plan("depthfl", Depth(blocks)), options=(("outputs", "all"),))


def fjord(shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0), distillation: float = 0.0) -> Plan:
    """Train a width that is drawn in every step, so that each width is a model; the widest one is shipped."""
    return Plan("fjord", Ordered(shares, distillation))


def progfed(blocks: int = 3, every: int = 1, first: int = 1) -> Plan:
    """Train the first block alone, then one block more every so many rounds; what is shipped is the whole net."""
    return Plan("progfed", Growing(blocks, every, first))


TECHNIQUES: Final = (
    Technique(
        "heterofl", "submodels", (2,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK),
        ("diao2021heterofl",), heterofl, Example(model="resnet8", set={"static_norm": True}),
    ),
    Technique(
        "depthfl", "submodels", (2, 23), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK),
        ("kim2023depthfl",), depthfl, Example(model="resnet8-exits"),
    ),
    Technique(
        "fjord", "submodels", (2,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK), ("horvath2021fjord",),
        fjord, Example(set={"shares": "0.25,0.5", "distillation": 1.0}),
    ),
    Technique(
        "progfed", "submodels", (2,), (WIRE, COMPUTE), (DEVICE, UPLINK, DOWNLINK), ("wang2022progfed",), progfed,
        Example(model="resnet8-exits"),
    ),
)  # fmt: skip
