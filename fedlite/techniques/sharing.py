"""Techniques in which weights share values, or layers share weights."""

from __future__ import annotations

from typing import Final

from fedlite.compression.constraint.shared import Shared
from fedlite.compression.plan import Plan
from fedlite.compression.structure.circulant import Circulant
from fedlite.compression.structure.tied import Tied
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.learning.models.layers.circulant import CirculantLayers
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    SERVER,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Recipe,
    Technique,
)

_EVERYWHERE: Final = (DEVICE, UPLINK, DOWNLINK)


def clustering(clusters: int = 8, keep: tuple[str, ...] = (), entropy: str = "range") -> Plan:
    """Ship a codebook and packed indices for every layer, the file through an entropy coder."""
    return Plan("clustering", deliveries=(Clustering(clusters, keep), EntropyCoding(entropy)))


def shared_weights(clusters: int = 16, entropy: str = "range") -> Plan:
    """Train with a few shared values in each layer, whose gradients are averaged, and ship codebooks."""
    return Plan(
        "shared-weights",
        constraints=(Shared(clusters),),
        deliveries=(Clustering(clusters), EntropyCoding(entropy)),
        down=(f"kmeans:{clusters}", "range"),
    )


def circulant(block: int = 8) -> Plan:
    """Train and ship linear layers of circulant blocks, each the numbers of its first column."""
    return Plan("circulant", Circulant(block))


def circulant_features(block: int = 8) -> Recipe:
    """Train circulant blocks from scratch, on the server and on every device: an embedding by convolutions."""
    return Recipe(Plan("circulant-features"), layers=CirculantLayers(block))


def hierarchical_sharing(levels: tuple[tuple[str, ...], ...] = ()) -> Plan:
    """Let layers of one semantic level be one layer, sent, stored and updated once; every one of them still runs."""
    return Plan("hierarchical-sharing", Tied(levels))


def incremental(clusters: int = 8, keep: tuple[str, ...] = (), entropy: str = "range") -> Plan:
    """Compress a new version beginning with the codebooks of the last one, and send what changed in the file."""
    return Plan("incremental", deliveries=(Clustering(clusters, keep, warm=True), EntropyCoding(entropy)))


TECHNIQUES: Final = (
    Technique("clustering", "sharing", (19,), (STORED,), (DEVICE,), ("han2016deep",), clustering),
    Technique("incremental", "sharing", (30,), (STORED,), (DEVICE, SERVER), ("han2016deep",), incremental),
    Technique("shared-weights", "sharing", (19,), (STORED, WIRE), (DEVICE, DOWNLINK), ("han2016deep",), shared_weights),
    Technique(
        "circulant", "sharing", (20,), (STORED, WIRE), _EVERYWHERE, ("cheng2015circulant",), circulant,
        Example(model="mlp", set={"block": 4}),
    ),
    Technique(
        "circulant-features", "sharing", (20,), (STORED, WIRE), _EVERYWHERE, ("cheng2015circulant",),
        circulant_features, Example(model="mlp"),
    ),
    Technique(
        "hierarchical-sharing", "sharing", (21,), (STORED, WIRE, COMPUTE), _EVERYWHERE, ("lan2020albert",),
        hierarchical_sharing, Example(model="char-transformer", dataset="shakespeare"),
    ),
)  # fmt: skip
