"""Nets that are small by design, in place of the usual ones."""

from __future__ import annotations

from typing import Final

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


def compact_net(net: str = "mobilenet-v2") -> Recipe:
    """Train and ship another net: one that was made for small devices."""
    return Recipe(model=net)


TECHNIQUES: Final = (
    Technique(
        "compact-net", "compact nets", (27,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK),
        ("sandler2018mobilenetv2", "iandola2016squeezenet"), compact_net,
        Example(model="mobilenet-v1", device="nucleo-h7a3zi", set={"net": "shufflenet-v2-x0.5"}),
    ),
)  # fmt: skip
