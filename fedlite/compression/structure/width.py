"""Width slices: which coordinates of the full model a narrower submodel holds, and how to cut them out.

A slice keeps the first channels of each block of a dimension. Most dimensions are one block. An LSTM's gate matrices
stack four gates in one dimension, so the first units of each of four blocks are kept; a layer that reads two
concatenated feature maps keeps the first channels of each.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous
Clients", section 3 (nested width slices).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fedlite.compression.overlap import Held, IndexMap, OverlapSum, Shape

_HALF = 0.5
Blocks = Mapping[int, tuple[int, ...]]
"""Dimension -> sizes of its consecutive blocks; a dimension that is left out is one block."""


class WidthError(FedliteError):
    """A submodel is no width slice of the full model."""


@dataclass(frozen=True)
class Width(Structure):
    """The first channels of every layer; the others are physically removed.

    Attributes
    ----------
    share : float
        Share of the channels that is kept, above 0 up to 1.
    """

    name: ClassVar[str] = "width"
    cites: ClassVar[tuple[str, ...]] = ("diao2021heterofl",)

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise PartError(f"width: got {self.share}, expected above 0 and at most 1; 0.5 trains half of the channels")

    @property
    def is_full(self) -> bool:
        """Whether all channels are kept: averaged as the full model is, bit for bit."""
        return self.share == 1

    @property
    def label(self) -> str:
        """Such as "width 0.5"."""
        return f"width {self.share:g}"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net at this share of its width.

        Raises
        ------
        PartError
            If a layer would have none of its channels.
        """
        check_share(self.name, spec, self.share)
        return spec.build(self.share)

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Slice:
        """Return the coordinates that the slice holds, whatever the values."""
        return Slice(full, slice_maps(spec, self.share))


@lru_cache(maxsize=256)
def check_share(name: str, spec: NetSpec, share: float) -> None:
    """Refuse a share that leaves a layer less than half of a channel, which would be rounded up to a whole one.

    Parameters
    ----------
    name : str
        Of what asks for the share.
    spec : NetSpec
    share : float

    Raises
    ------
    PartError
        With the layer's name.
    """
    narrow = dict(spec.build(share).named_modules())
    for layer, module in spec.build().named_modules():
        whole = outputs_of(module)
        if outputs_of(narrow[layer]) < whole and share * whole < _HALF:
            least = math.ceil(1e3 * _HALF / whole) / 1e3
            raise PartError(
                f"{name}: got {share:g}, which leaves layer {layer!r} none of its {whole} channels;"
                f" write {least:g} or more"
            )


def outputs_of(layer: nn.Module) -> int:
    """Return how many channels a layer gives that adds up its inputs or looks them up; 0 for all others."""
    from torch import nn

    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return layer.out_channels if layer.groups == 1 else 0
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.embedding_dim if isinstance(layer, nn.Embedding) else 0


@dataclass(frozen=True)
class Slice:
    """The placement of tensors that are part of the full model's, coordinate by coordinate."""

    full: Sequence[Array]
    maps: Sequence[IndexMap]

    def take(self) -> list[Array]:
        """Return the slice's tensors."""
        return take(self.full, self.maps)

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add the slice where it lies."""
        total.add(sums, weight, self.maps, held)


@lru_cache(maxsize=64)
def slice_maps(spec: NetSpec, share: float, of: float = 1.0) -> tuple[IndexMap, ...]:
    """Return where the tensors of the net at a share of its width lie in those of the net at another, the full one."""
    full, part = spec.build(of), spec.build(share)
    full_shapes, part_shapes = ([tuple(value.shape) for value in net.state_dict().values()] for net in (full, part))
    full_blocks, part_blocks = (in_order(list(net.state_dict()), declared_blocks(net)) for net in (full, part))
    return tuple(index_maps(full_shapes, part_shapes, full_blocks, part_blocks))


def declared_blocks(net: nn.Module) -> Mapping[str, Blocks]:
    """Return what a net says of its unusual dimensions by a method `width_blocks`; nothing if it has none."""
    declared = getattr(net, "width_blocks", None)
    found: Mapping[str, Blocks] = declared() if callable(declared) else {}
    return found


def index_maps(
    full_shapes: Sequence[Shape],
    sub_shapes: Sequence[Shape],
    full_blocks: Sequence[Blocks] | None = None,
    sub_blocks: Sequence[Blocks] | None = None,
) -> list[IndexMap]:
    """Return for each tensor the coordinates of the full model that the submodel holds.

    Parameters
    ----------
    full_shapes, sub_shapes : sequences of shapes
        Tensors of both models, in one order.
    full_blocks, sub_blocks : sequences of blocks, optional
        Blocks of each tensor's dimensions in both models (see `in_order`); None means one block everywhere.

    Raises
    ------
    WidthError
        If the models do not have the same tensors, or the submodel is wider anywhere.
    """
    count = len(full_shapes)
    if len(sub_shapes) != count:
        raise WidthError(
            f"width slice: got {len(sub_shapes)} tensors, expected the full model's {count}; "
            "build both from the same architecture"
        )
    full_blocks = [{}] * count if full_blocks is None else full_blocks
    sub_blocks = [{}] * count if sub_blocks is None else sub_blocks
    return [
        _tensor_map(position, full, sub, full_cut, sub_cut)
        for position, (full, sub, full_cut, sub_cut) in enumerate(
            zip(full_shapes, sub_shapes, full_blocks, sub_blocks, strict=True)
        )
    ]


def in_order(names: Sequence[str], blocks: Mapping[str, Blocks]) -> list[Blocks]:
    """Return the blocks of each named tensor, for models that declare only the unusual ones.

    Raises
    ------
    WidthError
        If blocks are declared for a tensor that does not exist.
    """
    unknown = sorted(set(blocks) - set(names))
    if unknown:
        raise WidthError(f"width blocks: got {unknown[0]!r}, expected a tensor of the model: {', '.join(names)}")
    return [blocks.get(name, {}) for name in names]


def take(arrays: Sequence[Array], maps: Sequence[IndexMap]) -> list[Array]:
    """Return the submodel's tensors, contiguous copies."""
    return [np.array(array[index], order="C") for array, index in zip(arrays, maps, strict=True)]


def _tensor_map(position: int, full: Shape, sub: Shape, full_blocks: Blocks, sub_blocks: Blocks) -> IndexMap:
    if len(full) != len(sub):
        raise WidthError(
            f"tensor {position}: got shape {sub}, expected {len(full)} dimensions as in {full}; "
            "build both models from the same architecture"
        )
    parts = [
        _axis(f"tensor {position}, dimension {axis}", length, sub[axis], full_blocks.get(axis), sub_blocks.get(axis))
        for axis, length in enumerate(full)
    ]
    lists = [axis for axis, part in enumerate(parts) if not isinstance(part, slice)]
    if len(lists) > 1:
        # Two index lists in one expression would be paired up by numpy; the open mesh takes their product.
        return np.ix_(*(np.arange(full[axis])[part] for axis, part in enumerate(parts)))
    return tuple(parts)


def _axis(
    where: str, full: int, sub: int, full_blocks: tuple[int, ...] | None, sub_blocks: tuple[int, ...] | None
) -> slice | NDArray[np.intp]:
    full_blocks = (full,) if full_blocks is None else full_blocks
    sub_blocks = (sub,) if sub_blocks is None else sub_blocks
    for blocks, length in ((full_blocks, full), (sub_blocks, sub)):
        if sum(blocks) != length:
            raise WidthError(
                f"{where}: got blocks {blocks}, expected sizes that add up to {length}; check width_blocks()"
            )
    if len(full_blocks) != len(sub_blocks) or any(s > f for s, f in zip(sub_blocks, full_blocks, strict=False)):
        raise WidthError(
            f"{where}: got blocks {sub_blocks}, expected {len(full_blocks)} blocks no larger than {full_blocks}; "
            "a submodel cannot be wider than the full model"
        )
    if sub == full:
        return slice(None)
    if len(full_blocks) == 1:
        return slice(0, sub)
    starts = np.cumsum([0, *full_blocks[:-1]])
    kept = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sub_blocks, strict=True)])
    if all(after == before + 1 for before, after in pairwise(kept.tolist())) and kept.size and kept[0] == 0:
        return slice(0, sub)
    return kept.astype(np.intp)
