"""A structure: every linear layer W (out, in) becomes two thin ones, A (r, in) and then B (out, r), W's best factors.

Source: Denil et al. 2013, "Predicting parameters in deep learning"; Eckart, Young 1936 (best factors of a matrix).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.overlap import Held, OverlapSum


@dataclass(frozen=True)
class Thin(Structure):
    """Linear layers through `rank` units."""

    name: ClassVar[str] = "thin"
    cites: ClassVar[tuple[str, ...]] = ("@misc{denil2013, title = {Predicting parameters in deep learning}}",)
    covers = moves = True  # every coordinate comes back; the factors' meaning changes with the model
    linear: ClassVar[bool] = False  # the mean of products is no product of means: every client's factors come back

    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise PartError(f"rank: got {self.rank}, expected 1 or more; write for example 4")

    @property
    def label(self) -> str:
        """Such as "rank 4"."""
        return f"rank {self.rank}"

    @property
    def remark(self) -> str:
        """What it saves; how much, the net's own trace says."""
        return "two thin layers in place of each linear one: less to train and to send if the rank is small"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net with its linear layers replaced."""
        net = spec.build()
        for name, layer in linear_layers(net).items():
            parent, _, child = name.rpartition(".")
            thin = nn.Linear(layer.in_features, self.rank, bias=False)
            wide = nn.Linear(self.rank, layer.out_features, bias=layer.bias is not None)
            setattr(net.get_submodule(parent), child, nn.Sequential(thin, wide))
        return net

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Factors:
        """Return which of the full net's tensors are products."""
        net = spec.build()
        split = {f"{name}.weight" for name in linear_layers(net)}
        return Factors(full, [key in split for key in net.state_dict()], self.rank)


@dataclass(frozen=True)
class Factors:
    """`split` says which tensors of `full` are products."""

    full: Sequence[Array]
    split: Sequence[bool]
    rank: int

    def take(self) -> list[Array]:
        """Return A and B in place of every product."""
        pairs = zip(self.full, self.split, strict=True)
        return [part for array, two in pairs for part in (factors(array, self.rank) if two else [array])]

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add the products, dense even of masked factors; each factor comes times `weight`, a product has it twice."""
        parts = iter(sums)
        total.add([next(parts).T.dot(next(parts).T).T / weight if two else next(parts) for two in self.split], weight)


def linear_layers(net: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers of a net by name."""
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Linear)}


def factors(matrix: Array, rank: int) -> list[Array]:
    """Return A (rank, in) and B (out, rank), whose product is nearest to a matrix (out, in)."""
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    a, b = np.zeros((rank, matrix.shape[1]), matrix.dtype), np.zeros((matrix.shape[0], rank), matrix.dtype)
    roots = np.sqrt(sizes[:rank])
    a[: roots.size], b[:, : roots.size] = roots[:, None] * right[:rank], left[:, :rank] * roots
    return [a, b]
