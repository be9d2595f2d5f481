"""Magnitude masks: which weights are held at zero because they are the smallest.

A mask saves neither training time nor memory: zeros are stored and multiplied like other numbers. It saves bytes on the
wire through a sparse codec ("nonzero") or a lossless stage, which really encode the zeros away.

References
----------
Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3 (magnitude pruning).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.constraint.base import Constraint, Received
from fedlite.compression.part import Effects, PartError
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

Array = NDArray[Any]
Mask = NDArray[np.float32]

SCOPES: Final = ("global", "local")
MASKED_SPEED: Final = (0.90, 0.97)
"""Speed of a training step with 90 % of the weights masked relative to a plain one, ResNet18 and MobileNetV2 at batch
16 and 64 x 64 on one x86 core (torch 2.13, medians of 12 interleaved steps); only the ratio carries over."""

_MATRIX = 2


class MaskError(FedliteError):
    """A mask cannot be made, or does not fit its model."""


@dataclass(frozen=True)
class Masked(Constraint, ABC):
    """A constraint that holds some weights at zero; which, `masks` says of what was received."""

    @property
    def effects(self) -> Effects:
        """Slower steps and the mask itself in memory; engines store zeros like other numbers."""
        return Effects(step_time=with_passes(1), weight_copies=1.0)

    @property
    def remark(self) -> str:
        """What zeros do not save."""
        return (
            "the mask makes nothing faster and needs memory of its own; it saves bytes on a wire, or in a file, that"
            " leaves zeros out"
        )

    def check_layers(self, sizes: Mapping[str, int]) -> None:
        """Refuse what would leave one of these layers (name -> weights) nothing, whatever the weights are.

        Raises
        ------
        PartError
            If it would.
        """

    @abstractmethod
    def masks(self, received: Received) -> list[Mask | None]:
        """Return one array of ones and zeros, or None, per parameter."""

    def init(self, received: Received) -> list[torch.Tensor | None]:
        """Return the masks of the received weights, one tensor of ones and zeros or None per parameter."""
        import torch

        found = self.masks(received)
        return [None if mask is None else torch.from_numpy(mask).to(received.device) for mask in found]

    def held(self, state: list[torch.Tensor | None]) -> list[Array | None]:
        """Return the masks."""
        return [None if mask is None else mask.cpu().numpy() for mask in state]

    def after(self, parameters: list[torch.Tensor], state: list[torch.Tensor | None], *, stacked: bool) -> None:
        """Set the masked weights to zero."""
        for parameter, mask in zip(parameters, state, strict=True):
            if mask is not None:
                parameter.mul_(mask)


@dataclass(frozen=True)
class Magnitude(Masked):
    """The smallest weights of the received model are held at zero.

    Attributes
    ----------
    sparsity : float
        Share of the prunable weights held at zero, above 0 and below 1.
    scope : str
        "global" ranks the magnitudes of all layers together, "local" layer by layer.
    """

    name: ClassVar[str] = "magnitude"
    cites: ClassVar[tuple[str, ...]] = ("han2015learning",)

    sparsity: float
    scope: str = "global"

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        check_scope(self.scope)

    @property
    def label(self) -> str:
        """Such as "90% sparse"."""
        return f"{100 * self.sparsity:.6g}% sparse"

    def check_layers(self, sizes: Mapping[str, int]) -> None:
        """Refuse a share that leaves a layer nothing."""
        check_leaves(self.sparsity, self.scope, sizes)

    def masks(self, received: Received) -> list[Mask | None]:
        """Return the masks of the smallest weights."""
        return masks(received.parameters, received.names, self.sparsity, self.scope)


def check_sparsity(sparsity: float) -> None:
    """Raise PartError unless a share of weights may be held at zero."""
    if not 0 < sparsity < 1:
        raise PartError(
            f"sparsity: got {sparsity}, expected above 0 and below 1; 0.9 holds 90 % of the weights at zero"
        )


def check_scope(scope: str) -> None:
    """Raise PartError unless a scope is one of `SCOPES`."""
    if scope not in SCOPES:
        raise PartError(f"scope: got {scope!r}, expected {' or '.join(SCOPES)}; 'global' is the default")


def check_leaves(sparsity: float, scope: str, sizes: Mapping[str, int]) -> None:
    """Raise PartError if a share leaves a layer (name -> weights) nothing, or fewer weights than there are layers."""
    if scope == "local":
        for name, size in sizes.items():
            if round(sparsity * size) == size:
                raise PartError(
                    f"sparsity: got {sparsity}, which leaves none of the {size:,} weights of {name}, expected to leave"
                    f" one; write {(size - 1) / size:.4g} at most"
                )
    total = sum(sizes.values())
    if (left := total - round(sparsity * total)) < len(sizes):
        raise PartError(
            f"sparsity: got {sparsity}, which leaves {left} of {total:,} weights to the layers {', '.join(sizes)},"
            " expected one for each; write a smaller share"
        )


def masks(arrays: Sequence[Array], names: Sequence[str], sparsity: float, scope: str = "global") -> list[Mask | None]:
    """Return for each tensor a mask of ones and zeros, or None where nothing is pruned.

    Only matrices and convolution kernels are pruned (two dimensions or more, floating); biases, normalisation weights
    and counters stay dense, as they are few and every output depends on them.

    Parameters
    ----------
    arrays, names : sequences
        The model's tensors and their names.
    sparsity : float
        Share of the prunable weights that becomes zero, from 0 to below 1; the count is rounded to the nearest.
    scope : str
        One of `SCOPES`, which `Magnitude` checks. "global": the smallest weights of the whole model, so that layers
        differ in density. "local": the same share of every layer.

    Raises
    ------
    MaskError
        If the sparsity is out of range or a weight is not finite.
    """
    if not 0 <= sparsity < 1:
        raise MaskError(f"mask: got sparsity {sparsity}, expected from 0 to below 1; 0.9 zeroes 90 % of the weights")
    if len(names) != len(arrays):
        raise MaskError(f"mask: got {len(names)} names for {len(arrays)} tensors; pass one name per tensor")
    finite(arrays, names)
    chosen = [position for position, array in enumerate(arrays) if prunable(array)]
    groups = [chosen] if scope == "global" else [[position] for position in chosen]
    out: list[Mask | None] = [None] * len(arrays)
    for group in groups:
        if group:
            keep = largest(np.concatenate([np.abs(arrays[position]).reshape(-1) for position in group]), sparsity)
            ends = np.cumsum([arrays[position].size for position in group])[:-1]
            for position, part in zip(group, np.split(keep, ends), strict=True):
                out[position] = part.reshape(arrays[position].shape).astype(np.float32)
    return out


def finite(arrays: Sequence[Array], names: Sequence[str]) -> None:
    """Raise MaskError unless every weight that may be pruned is finite."""
    for name, array in zip(names, arrays, strict=True):
        if prunable(array) and not np.isfinite(array).all():
            raise MaskError(
                f"mask: {name} holds values that are not finite; magnitudes cannot be ranked, check training"
            )


def with_passes(count: float) -> float:
    """Return the factor on the time of a step that also passes so many times over the weights.

    A pass reads the weights and a tensor as large and writes a result, as the multiplication by a mask does after every
    step, whose measured cost (`MASKED_SPEED`, geometric mean) is that of one pass; more of them are more of the same.
    """
    return 1.0 + count * (1 / math.sqrt(math.prod(MASKED_SPEED)) - 1.0)


def prunable(array: Array) -> bool:
    """Tell whether a tensor has weights that are pruned, quantised or shared: a floating matrix or kernel."""
    return array.ndim >= _MATRIX and np.issubdtype(array.dtype, np.floating)


def largest(magnitudes: Array, sparsity: float) -> NDArray[np.bool_]:
    """Return which elements stay: exactly `round(sparsity * n)` go, ties broken by position."""
    zeros = round(sparsity * magnitudes.size)
    keep = np.ones(magnitudes.size, np.bool_)
    if zeros:
        limit = np.partition(magnitudes, zeros - 1)[zeros - 1]
        keep[magnitudes < limit] = False
        missing = zeros - int(np.count_nonzero(~keep))
        keep[np.flatnonzero(magnitudes == limit)[:missing]] = False
    return keep
