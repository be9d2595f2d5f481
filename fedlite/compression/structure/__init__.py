"""Structures: which net a device trains, and where its tensors lie in the full model. One file each."""

from __future__ import annotations

from typing import Final

STRUCTURES: Final[dict[str, str]] = {
    "channels": "fedlite.compression.structure.channels:Channels",
    "depth": "fedlite.compression.structure.depth:Depth",
    "circulant": "fedlite.compression.structure.circulant:Circulant",
    "full": "fedlite.compression.structure.full:Full",
    "growing": "fedlite.compression.structure.growing:Growing",
    "heterofl": "fedlite.compression.structure.heterofl:HeteroFL",
    "ordered": "fedlite.compression.structure.ordered:Ordered",
    "skip": "fedlite.compression.structure.depth:Skip",
    "integer-training": "fedlite.compression.structure.integer_training:IntegerTraining",
    "quantised-net": "fedlite.compression.structure.quantised_net:QuantisedNet",
    "low-rank": "fedlite.compression.structure.low_rank:LowRank",
    "tied": "fedlite.compression.structure.tied:Tied",
    "subnet": "fedlite.compression.structure.subnet:Subnet",
    "supernet": "fedlite.compression.structure.subnet:Supernet",
    "width": "fedlite.compression.structure.width:Width",
}
"""Name -> `module:Class`."""
