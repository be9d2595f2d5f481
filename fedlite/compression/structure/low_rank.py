"""Low rank: a layer W (out, in) becomes two thin ones, A (r, in) and then B (out, r), whose product is nearest to W.

A convolution is cut between its patches and its output channels: r filters of the same kernel, then a 1x1 convolution.
Only layers that get smaller are cut. `place` takes the best factors of the server's model by singular values, `add`
puts every client's product back, so the server's model stays a full one (and may leave the clients' rank).

References
----------
Denil et al. 2013, "Predicting parameters in deep learning" (weights as products of two thin matrices).
Zhang et al. 2016, "Accelerating very deep convolutional networks", section 3.1 (r filters, then 1x1).
Eckart, Young 1936 (singular values give the nearest matrix of a rank).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.modules import layers_of, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fedlite.compression.overlap import Held, OverlapSum

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
Ranks = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LowRank(Structure):
    """Linear layers and convolutions through fewer units.

    Attributes
    ----------
    share : float
        Rank as a share of the highest that a layer can have, the smaller side of its matrix.
    ranks : tuple of (layer, rank), optional
        Ranks by name of the layer; all others stay whole, and `share` counts for nobody. `ranks_for_energy` finds them.
    """

    name: ClassVar[str] = "low-rank"
    cites: ClassVar[tuple[str, ...]] = ("denil2013predicting", "zhang2016accelerating")
    covers: ClassVar[bool] = True
    moves: ClassVar[bool] = True
    linear: ClassVar[bool] = False  # the mean of products is no product of means: every client's factors come back

    share: float = 0.25
    ranks: Ranks = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise PartError(f"share: got {self.share}, expected above 0 and at most 1; write for example 0.25")
        for layer, rank in self.ranks:
            if rank < 1:
                raise PartError(f"ranks: got {rank} for {layer!r}, expected 1 or more; write for example 4")

    @property
    def label(self) -> str:
        """Such as "rank 0.25"."""
        return f"ranks of {len(self.ranks)} layers" if self.ranks else f"rank {self.share:g}"

    @property
    def remark(self) -> str:
        """What it saves; how much, the net's own trace says."""
        return "two thin layers for each that this makes smaller: less to train, to send and to store"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net with its layers cut in two.

        Raises
        ------
        PartError
            If no layer gets smaller, or one that `ranks` names does not, or does not exist.
        """
        net = spec.build()
        layers = factorable(net)
        for name, rank in self._chosen(layers).items():
            put(net, name, _in_two(layers[name], rank))
        return net

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Factors:
        """Return which of the full net's tensors are products."""
        net = spec.build()
        chosen = {f"{name}.weight": rank for name, rank in self._chosen(factorable(net)).items()}
        return Factors(full, [chosen.get(key) for key in net.state_dict()])

    def _chosen(self, layers: Mapping[str, Layer]) -> dict[str, int]:
        """Return the rank of every layer that is cut."""
        if self.ranks:
            return self._named(layers)
        largest = max(layers, key=lambda name: min(_matrix(layers[name])), default=None)
        # Small layers keep a rank of one; where the largest has none, nothing is left of the net.
        if largest is not None and self.share * (most := min(_matrix(layers[largest]))) < 1 / 2:
            raise PartError(
                f"low-rank: got share {self.share:g}, which leaves layer {largest!r} none of its {most} ranks;"
                f" write {math.ceil(500 / most) / 1e3:g} or more"
            )
        ranks = {name: max(1, round(self.share * min(_matrix(layer)))) for name, layer in layers.items()}
        smaller = {name: rank for name, rank in ranks.items() if is_smaller(_matrix(layers[name]), rank)}
        if not smaller:
            raise PartError(
                f"low-rank: got share {self.share:g}, at which none of {', '.join(layers) or 'no layers'} gets smaller,"
                " expected a net with large linear layers or convolutions; write a smaller share, or another structure"
            )
        return smaller

    def _named(self, layers: Mapping[str, Layer]) -> dict[str, int]:
        for name, rank in self.ranks:
            if name not in layers:
                raise PartError(
                    f"low-rank: got the layer {name!r}, expected a linear layer or an ungrouped convolution of the net:"
                    f" {', '.join(layers)}; write one of them"
                )
            out, inputs = _matrix(layers[name])
            if not is_smaller((out, inputs), rank):
                raise PartError(
                    f"low-rank: got rank {rank} for {name!r}, expected at most {_largest(out, inputs)}, beyond which"
                    f" two layers are no smaller than the one of {out} x {inputs}; write less, or leave it out"
                )
        return dict(self.ranks)


@dataclass(frozen=True)
class Factors:
    """The placement; `ranks` says which tensors of `full` are products, and of which rank."""

    full: Sequence[Array]
    ranks: Sequence[int | None]

    def take(self) -> list[Array]:
        """Return A and B in place of every product."""
        pairs = zip(self.full, self.ranks, strict=True)
        return [part for array, rank in pairs for part in ([array] if rank is None else factors(array, rank))]

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add the products, dense even of masked factors; each factor comes times `weight`, a product has it twice."""
        parts = iter(sums)
        total.add([self._whole(parts, full, rank, weight) for full, rank in self._pairs()], weight)

    def _pairs(self) -> zip[tuple[Array, int | None]]:
        return zip(self.full, self.ranks, strict=True)

    @staticmethod
    def _whole(parts: Iterator[Array], full: Array, rank: int | None, weight: float) -> Array:
        if rank is None:
            return next(parts)
        first, second = next(parts), next(parts)
        return (second.reshape(-1, rank) @ first.reshape(rank, -1) / weight).reshape(full.shape)


def factorable(net: nn.Module) -> dict[str, Layer]:
    """Return the layers that can be cut in two, by name: linear ones and convolutions that are one group."""
    layers: dict[str, Layer] = layers_of(net, nn.Linear, nn.Conv1d, nn.Conv2d)
    return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear) or layer.groups == 1}


def is_smaller(shape: tuple[int, int], rank: int) -> bool:
    """Return whether the factors of a matrix (out, in) have fewer numbers than itself."""
    return rank * sum(shape) < shape[0] * shape[1]


def factors(tensor: Array, rank: int) -> list[Array]:
    """Return A (rank, in, *kernel) and B (out, rank, *ones), whose product is nearest to a tensor (out, in, *kernel).

    Both carry the root of each singular value, so that neither learns faster than the other.
    """
    left, sizes, right = np.linalg.svd(tensor.reshape(tensor.shape[0], -1), full_matrices=False)
    roots = np.sqrt(sizes[:rank])
    first = (roots[:, None] * right[:rank]).reshape(rank, *tensor.shape[1:])
    second = (left[:, :rank] * roots).reshape(tensor.shape[0], rank, *(1,) * (tensor.ndim - 2))
    return [np.ascontiguousarray(part, tensor.dtype) for part in (first, second)]


def ranks_for_energy(net: nn.Module, energy: float) -> Ranks:
    """Return the least ranks that keep a share of every layer's energy (its squared singular values).

    Parameters
    ----------
    net : nn.Module
        A trained net: of random weights all ranks carry about the same.
    energy : float
        In (0, 1].

    Returns
    -------
    tuple of (layer, rank)
        Of the layers that get smaller, as `LowRank.ranks` takes it.
    """
    if not 0.0 < energy <= 1.0:
        raise PartError(f"energy: got {energy}, expected above 0 and at most 1; write for example 0.9")
    found = {}
    for name, layer in factorable(net).items():
        sizes = np.linalg.svd(layer.weight.detach().numpy().reshape(layer.weight.shape[0], -1), compute_uv=False)
        kept = np.cumsum(sizes.astype(np.float64) ** 2)
        found[name] = int(np.searchsorted(kept, energy * kept[-1] * (1.0 - _ROUNDING))) + 1
    return tuple((name, rank) for name, rank in found.items() if is_smaller(_matrix(factorable(net)[name]), rank))


_ROUNDING = 1e-12
"""What a sum of squares may lack of itself, so that all of the energy is found with the last singular value above 0."""


def _matrix(layer: Layer) -> tuple[int, int]:
    """Return the sides (out, in) of a layer's weights as a matrix."""
    return layer.weight.shape[0], layer.weight[0].numel()


def _largest(out: int, inputs: int) -> int:
    return max(0, (out * inputs - 1) // (out + inputs))


def _in_two(layer: Layer, rank: int) -> nn.Sequential:
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, rank, bias=False),
            nn.Linear(rank, layer.out_features, bias=layer.bias is not None),
        )
    kind = type(layer)
    filters = kind(
        layer.in_channels,
        rank,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        bias=False,
        padding_mode=layer.padding_mode,
    )
    return nn.Sequential(filters, kind(rank, layer.out_channels, 1, bias=layer.bias is not None))
