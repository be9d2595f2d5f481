"""Techniques in which weights share values."""

from __future__ import annotations

from typing import Final

from fedlite.compression.plan import Plan
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.techniques.technique import DEVICE, STORED, Example, Technique


def clustering(clusters: int = 8, keep: tuple[str, ...] = (), entropy: str = "zstd") -> Plan:
    """Ship a codebook and packed indices for every layer, the file through an entropy coder."""
    return Plan("clustering", deliveries=(Clustering(clusters, keep), EntropyCoding(entropy)))


TECHNIQUES: Final = (
    Technique("clustering", "sharing", (19,), (STORED,), (DEVICE,), ("han2016deep",), clustering, Example()),
)
