"""Masks from coarse to fine: whole input channels, rows, columns, and single weights, each level within the last.

Every weight tensor is looked at as the matrix that it multiplies with: a row for each output, a column for each place
of a kernel in each input channel. A level drops the units with the smallest mean magnitude of those that coarser levels
left, and the mask that holds is the Hadamard product of the levels: what a coarse one drops, no finer one brings back.

Only zeros come of it: the tensor keeps its shape. A coarse unit is a candidate for a structure, which removes it; the
rest saves bytes through a sparse codec.

References
----------
Sahbi 2024, "Learning Coarse-to-Fine Pruning of Graph Convolutional Networks for Skeleton-based Recognition" (the mask
of a connection is the product of four, fine pruning only where the coarse one is off). His masks are learned; these
rank mean magnitudes (Han et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from fedlite.compression.constraint.magnitude import Array, Mask, Masked, MaskError, finite, largest, prunable
from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compression.constraint.base import Received

LEVELS: Final = ("channel", "row", "column", "element")
"""From coarse to fine."""
_AXES: Final = {"channel": (0, 2), "row": (1, 2), "column": (0,), "element": ()}
"""What a unit of each level spans of (outputs, input channels, places of the kernel)."""


@dataclass(frozen=True)
class Multilevel(Masked):
    """The product of four masks of the received model, from coarse to fine.

    Attributes
    ----------
    channel : float
        Share of the input channels of every layer but the first that goes, from 0 to below 1.
    row : float
        Share of the outputs of every layer but the last, of what is left.
    column : float
        Share of the places of kernels (in a linear layer: of inputs), of what is left, in every layer but the first.
    element : float
        Share of the single weights, of what is left.
    """

    name: ClassVar[str] = "multilevel"
    cites: ClassVar[tuple[str, ...]] = ("sahbi2024coarse", "han2015learning")

    channel: float = 0.125
    row: float = 0.125
    column: float = 0.125
    element: float = 0.5

    def __post_init__(self) -> None:
        for level in LEVELS:
            share = getattr(self, level)
            if not 0 <= share < 1:
                raise PartError(
                    f"{level}: got {share}, expected from 0 to below 1; 0.25 drops a quarter of what is left"
                )
        if not any(self.shares.values()):
            raise PartError(
                "element: got 0 at every level, expected a share above 0 at one of them; write 'element: 0.5'"
            )

    @property
    def shares(self) -> dict[str, float]:
        """What each level drops, from coarse to fine."""
        return {level: getattr(self, level) for level in LEVELS}

    @property
    def label(self) -> str:
        """Such as "channel 25%, element 50% sparse"."""
        return ", ".join(f"{level} {share:.3g}" for level, share in self.shares.items() if share) + " dropped"

    @property
    def remark(self) -> str:
        """What zeros do not save, coarse ones either."""
        return (
            "the masks make nothing faster and need memory of their own, at the coarse levels too, until a structure"
            " removes what is zero; they save bytes where zeros are left out"
        )

    def masks(self, received: Received) -> list[Mask | None]:
        """Return the products of the levels."""
        found = level_masks(received.parameters, received.names, self.shares)
        return [None if levels is None else levels["element"] for levels in found]


def level_masks(
    arrays: Sequence[Array], names: Sequence[str], shares: Mapping[str, float]
) -> list[dict[str, Mask] | None]:
    """Return for each tensor the mask of every level times those of the coarser ones; None where nothing is pruned.

    Parameters
    ----------
    arrays, names : sequences
        The model's tensors and their names. Outputs of the last matrix or kernel and inputs of the first are kept: they
        are the model's own.
    shares : mapping
        Level -> share of its units that goes, of those that coarser levels left something of; the count is rounded.

    Returns
    -------
    list of dict or None
        Masks in the tensors' shapes, ones and zeros, by level from coarse to fine: each is zero where one before is.

    Raises
    ------
    MaskError
        If a weight is not finite, or a level would leave nothing of a tensor.
    """
    finite(arrays, names)
    chosen = [position for position, array in enumerate(arrays) if prunable(array)]
    out: list[dict[str, Mask] | None] = [None] * len(arrays)
    for position in chosen:
        kept = {"row"} if position == chosen[-1] else set()
        kept |= {"channel", "column"} if position == chosen[0] else set()
        own = {level: 0.0 if level in kept else share for level, share in shares.items()}
        out[position] = _levels(arrays[position], names[position], own)
    return out


def _levels(array: Array, name: str, shares: Mapping[str, float]) -> dict[str, Mask]:
    sizes = np.abs(array).reshape(array.shape[0], array.shape[1], -1).astype(np.float64)
    mask, found = np.ones(sizes.shape, np.bool_), {}
    for level in LEVELS:
        mask = mask & _units(sizes, mask, name, level, shares[level])
        found[level] = mask.reshape(array.shape).astype(np.float32)
    return found


def _units(sizes: Array, mask: NDArray[np.bool_], name: str, level: str, share: float) -> NDArray[Any]:
    """Return which units of a level stay, to be multiplied with the mask of the coarser ones."""
    axes = _AXES[level]
    count = mask.sum(axis=axes, keepdims=True)
    alive = np.flatnonzero(count)
    mean = (sizes * mask).sum(axis=axes, keepdims=True).reshape(-1)[alive] / count.reshape(-1)[alive]
    stay = largest(mean, share)
    if not stay.any():
        raise MaskError(
            f"{level}: got a share of {share:g} of the {len(alive)} left in {name}, which leaves none, expected one or"
            " more to stay; write a smaller share"
        )
    kept = np.zeros(count.size, np.bool_)
    kept[alive[stay]] = True
    return kept.reshape(count.shape)
