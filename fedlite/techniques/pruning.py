"""Techniques that leave weights out."""

from __future__ import annotations

from typing import Final

from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.constraint.multilevel import Multilevel
from fedlite.compression.constraint.progressive import Progressive
from fedlite.compression.constraint.regrow import Regrow
from fedlite.compression.plan import Plan
from fedlite.compression.structure.channels import Channels
from fedlite.compression.structure.width import Width
from fedlite.delivery.coarse_to_fine import CoarseToFine
from fedlite.delivery.connection_pruning import ConnectionPruning
from fedlite.delivery.diverse_neurons import DiverseNeurons
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.delivery.layer_pruning import LayerPruning
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.learning.objectives.terms.group_lasso import GroupLasso
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    SERVER,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Technique,
)

_SPARSE: Final = ("nonzero", "fp16", "zstd")
_ALL: Final = (STORED, WIRE, COMPUTE, MEMORY)
_LINKS: Final = (UPLINK, DOWNLINK)


def unstructured_pruning(sparsity: float = 0.8, scope: str = "global") -> Plan:
    """Hold the smallest weights at zero and train on; the wire leaves zeros out and sends the rest as fp16, by zstd."""
    return Plan("unstructured-pruning", constraints=(Magnitude(sparsity, scope),), up=_SPARSE, down=_SPARSE)


def local_pruning(sparsity: float = 0.8) -> Plan:
    """The same with the same share of every layer, instead of one rank over the whole net."""
    return Plan("local-pruning", constraints=(Magnitude(sparsity, "local"),), up=_SPARSE, down=_SPARSE)


def progressive_pruning(sparsity: float = 0.9, rounds: int = 3) -> Plan:
    """Hold more weights at zero from round to round, until so many rounds have passed."""
    return Plan("progressive-pruning", constraints=(Progressive(sparsity, rounds=rounds),), up=_SPARSE, down=_SPARSE)


def prune_and_regrow(sparsity: float = 0.8, every: int = 5, share: float = 0.3) -> Plan:
    """Prune the smallest weights while training and let those with the largest gradients grow again."""
    part = Regrow(sparsity, every=every, share=share)
    return Plan("prune-and-regrow", constraints=(part,), up=_SPARSE, down=_SPARSE)


def multilevel_masks(channel: float = 0.125, row: float = 0.125, column: float = 0.125, element: float = 0.5) -> Plan:
    """Hold channels, rows, columns and single weights at zero: what a coarse mask takes no finer one gives back."""
    part = Multilevel(channel, row, column, element)
    return Plan("multilevel-masks", constraints=(part,), up=_SPARSE, down=_SPARSE)


def width_slicing(share: float = 0.5) -> Plan:
    """Train and ship the first channels of every layer; the others are physically removed."""
    return Plan("width-slicing", Width(share))


def structured_pruning(share: float = 0.5, importance: str = "l1") -> Plan:
    """Train and ship the channels that matter most in the server's model; the others are physically removed."""
    return Plan("structured-pruning", Channels(share, importance))


def cosine_spatial_pruning(share: float = 0.75, importance: str = "cosine-spatial") -> Plan:
    """Remove filters that resemble others by their direction, then those whose patterns in space are alike."""
    return Plan("cosine-spatial-pruning", Channels(share, importance))


def one_shot_pruning(share: float = 0.75, importance: str = "taylor", scope: str = "global") -> Plan:
    """Remove channels of the trained net before it is shipped; nobody trains it on."""
    return Plan("one-shot-pruning", deliveries=(StructuredPruning(share, importance, scope),))


def incremental_pruning(share: float = 0.75, importance: str = "taylor", scope: str = "local") -> Plan:
    """Prune a new version beginning with the channels of the last one, by a few rows, and send what changed."""
    part = StructuredPruning(share, importance, scope, warm=True)
    return Plan("incremental-pruning", deliveries=(part,))


def group_sparsity(weight: float = 0.003, below: float = 0.35) -> Plan:
    """Train with a penalty on whole channels, and ship the net without those that became small."""
    return Plan(
        "group-sparsity", terms=(GroupLasso(weight),), deliveries=(StructuredPruning(importance="l2", below=below),)
    )


def layer_shapley(count: int = 1, permutations: int = 20) -> Plan:
    """Leave out the residual blocks with the smallest Shapley values on held-out rows."""
    return Plan("layer-shapley", deliveries=(LayerPruning(count, permutations),))


def coarse_to_fine(weight: float = 0.003, share: float = 0.375, confused: float = 0.05, steps: int = 60) -> Plan:
    """Ask the net that group lasso pruned first, and the whole one only where the pruned one confuses classes."""
    part = CoarseToFine(share, confused=confused, steps=steps)
    return Plan("coarse-to-fine", terms=(GroupLasso(weight),), deliveries=(part,))


def connection_shapley(share: float = 0.5, groups: int = 16, permutations: int = 8, layer: str = "") -> Plan:
    """Cut the connections from inputs with the smallest Shapley values; zeros are left out of the file."""
    part = ConnectionPruning(layer, share, groups, permutations)
    return Plan("connection-shapley", deliveries=(part, EntropyCoding()))


def diverse_neurons(keep: float = 0.5, how: str = "dpp", *, fused: bool = True, layer: str = "") -> Plan:
    """Keep neurons that answer differently, drawn by a determinantal point process, and fuse the others into them."""
    return Plan("diverse-neurons", deliveries=(DiverseNeurons(layer, keep, how, fused),))


def _pruning(
    name: str,
    rows: tuple[int, ...],
    saves: tuple[str, ...],
    where: tuple[str, ...],
    cites: tuple[str, ...],
    make: object,
    **example: object,
) -> Technique:
    return Technique(name, "pruning", rows, saves, where, cites, make, Example(**example))  # type: ignore[arg-type]


TECHNIQUES: Final = (
    _pruning("unstructured-pruning", (1, 5), (WIRE,), _LINKS, ("han2015learning",), unstructured_pruning),
    _pruning("local-pruning", (5,), (WIRE,), _LINKS, ("han2015learning",), local_pruning),
    _pruning("progressive-pruning", (1, 30), (WIRE,), _LINKS, ("zhu2018prune",), progressive_pruning),
    _pruning("prune-and-regrow", (3,), (WIRE,), _LINKS, ("bibikar2022feddst", "evci2020rigl"), prune_and_regrow),
    _pruning("multilevel-masks", (9,), (WIRE,), _LINKS, ("sahbi2024coarse",), multilevel_masks),
    _pruning("width-slicing", (2,), _ALL, (DEVICE, *_LINKS), ("diao2021heterofl",), width_slicing, set={"share": 0.5}),
    _pruning("structured-pruning", (2,), _ALL, (DEVICE, *_LINKS), ("li2017pruning",), structured_pruning),
    _pruning("cosine-spatial-pruning", (10,), _ALL, (DEVICE, *_LINKS), ("li2017pruning",), cosine_spatial_pruning),
    _pruning(
        "one-shot-pruning", (2, 5), (STORED, COMPUTE), (DEVICE, SERVER), ("molchanov2019importance",), one_shot_pruning,
        model="resnet8",
    ),
    _pruning(
        "incremental-pruning", (2, 30), (STORED, COMPUTE), (DEVICE, SERVER), ("molchanov2019importance",),
        incremental_pruning, device="nucleo-h7a3zi",
    ),
    _pruning(
        "group-sparsity", (8,), (STORED, COMPUTE), (DEVICE,), ("wen2016learning",), group_sparsity,
        device="nucleo-h7a3zi",
    ),
    _pruning(
        "coarse-to-fine", (8,), (COMPUTE,), (DEVICE,), ("liu2020twofold", "wen2016learning"), coarse_to_fine,
        device="nucleo-h7a3zi",
    ),
    _pruning(
        "layer-shapley", (6,), (STORED, COMPUTE), (DEVICE, SERVER), ("ghorbani2020neuron", "veit2016residual"),
        layer_shapley, model="resnet8", set={"count": 1},
    ),
    _pruning(
        "connection-shapley", (6,), (STORED,), (DEVICE, SERVER), ("ghorbani2020neuron",), connection_shapley,
    ),
    _pruning(
        "diverse-neurons", (7,), (STORED, COMPUTE), (DEVICE, SERVER), ("mariet2016diversity",), diverse_neurons,
        device="nucleo-h7a3zi", set={"keep": 0.25},
    ),
)  # fmt: skip
