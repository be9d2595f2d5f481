"""Dynamic sparse training: the mask moves. Small weights are dropped, and others grow where the gradient is largest.

A device holds as many weights of each layer as the densities say, in every step. Every so many rounds, in the first
step of a job, the held weights with the smallest magnitudes are exchanged for as many others, those with the largest
gradients, which begin at zero and move at once. The server is told which weights are held, and averages over holders.

Gradients of all weights are needed to choose, and are computed in every step here as on the devices that are priced: no
time is saved by it, nor memory. Zeros save bytes through a sparse codec.

Two rules say where a job's mask comes from. "received": the largest weights of the model that came down, as FedDST's
server would prune it, so that all devices agree in rounds without an exchange, and the mean is then as sparse as asked;
after an exchange it holds the union of what devices chose, until the next round's masks cut it again. "own": the mask
that the device remembers of its last job; devices differ, and the server's model is as dense as all of them together.

References
----------
Bibikar, Vikalo, Wang, Chen 2022, "Federated Dynamic Sparse Training", algorithm 1. Evci, Gale, Menick, Castro, Elsen
2020, "Rigging the Lottery: Making All Tickets Winners", section 3 (gradients decide, cosine schedule; the
Erdos-Renyi-kernel densities are those of its appendix, after Mocanu et al. 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from fedlite.compression.constraint.base import Array, Constraint, Memory, Received
from fedlite.compression.constraint.magnitude import check_sparsity, finite, prunable, with_passes
from fedlite.compression.part import Effects, PartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

DENSITIES: Final = ("erk", "uniform")
SOURCES: Final = ("received", "own")
EXCHANGE_PASSES: Final = 7.0
"""Passes over the weights in a job that exchanges: two selections of about three reads each, by magnitude and by
gradient (Hoare 1961: fewer than four comparisons for each value), and one that writes the mask."""


@dataclass
class Moving:
    """A job's masks, and what it still needs to move them; None where nothing is pruned."""

    masks: list[torch.Tensor | None]
    magnitudes: list[torch.Tensor | None]
    swaps: list[int]


@dataclass(frozen=True)
class Regrow(Constraint):
    """As many weights as ever are held, but not always the same ones.

    Attributes
    ----------
    sparsity : float
        Share of the prunable weights held at zero, above 0 and below 1.
    every : int
        The mask moves in every so-manieth round.
    share : float
        Share of each layer's held weights that are exchanged then, above 0 up to 1.
    until : int
        Round from which on the mask rests; up to it the share falls with the cosine. 0 for a share that never falls.
    density : str
        "erk": layers are the denser the fewer weights they have for their inputs and outputs; "uniform": all alike.
    mask : str
        "received" or "own": see above.
    """

    name: ClassVar[str] = "regrow"
    cites: ClassVar[tuple[str, ...]] = ("bibikar2022feddst", "evci2020rigl")
    individual: ClassVar[bool] = True

    sparsity: float
    every: int = 5
    share: float = 0.3
    until: int = 0
    density: str = "erk"
    mask: str = "received"

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        if self.every < 1:
            raise PartError(f"every: got {self.every}, expected 1 or more; 5 moves the mask in every fifth round")
        if not 0 < self.share <= 1:
            raise PartError(f"share: got {self.share}, expected above 0 and at most 1; 0.3 is usual")
        if self.until < 0:
            raise PartError(f"until: got {self.until}, expected 0 or more; 0 moves the mask for ever")
        for name, known in (("density", DENSITIES), ("mask", SOURCES)):
            if (got := getattr(self, name)) not in known:
                raise PartError(f"{name}: got {got!r}, expected {' or '.join(known)}; {known[0]!r} is the default")

    @property
    def keeps_memory(self) -> bool:
        """Only a device with a mask of its own remembers it."""
        return self.mask == "own"

    @property
    def effects(self) -> Effects:
        """The mask after every step, its memory and that of magnitudes, and the exchange, spread over the rounds."""
        return Effects(step_time=with_passes(1), weight_copies=2.0, update_passes=EXCHANGE_PASSES / self.every)

    @property
    def label(self) -> str:
        """Such as "80% sparse, regrown"."""
        return f"{100 * self.sparsity:.6g}% sparse, regrown"

    @property
    def remark(self) -> str:
        """What the dense gradients cost."""
        return (
            "gradients of all weights are computed to choose which ones grow, so that training is not faster and needs"
            " memory for the mask; bytes are saved where zeros are left out"
        )

    def swapped(self, round_: int) -> float:
        """Return the share of the held weights that is exchanged in a round."""
        if round_ % self.every or (self.until and round_ >= self.until):
            return 0.0
        return self.share / 2 * (1 + math.cos(math.pi * round_ / self.until)) if self.until else self.share

    def init(self, received: Received) -> Moving:
        """Return the job's first masks: those that the device remembers, or the largest weights received."""
        import torch

        finite(received.parameters, received.names)
        counts = held_counts([array.shape if prunable(array) else None for array in received.parameters], self)
        moving, share = Moving([], [], []), self.swapped(received.round_)
        for position, (array, count) in enumerate(zip(received.parameters, counts, strict=True)):
            kept = received.memory.get(str(position))
            if count is None:
                moving.masks.append(None)
                moving.magnitudes.append(None)
                moving.swaps.append(0)
                continue
            mask = _largest(np.abs(array), count) if kept is None else _unpacked(kept, array)
            moving.masks.append(torch.from_numpy(mask.astype(np.float32)).to(received.device))
            moving.magnitudes.append(torch.from_numpy(np.abs(array) * mask).to(received.device))
            moving.swaps.append(min(round(share * count), array.size - count))
        return moving

    def held(self, state: Moving) -> list[Array | None]:
        """Return the masks as they are now."""
        return [None if mask is None else mask.cpu().numpy() for mask in state.masks]

    def gradients(self, gradients: list[torch.Tensor], state: Moving, *, stacked: bool) -> list[torch.Tensor]:
        """Move the masks in the first step, which is the one that still knows what was received."""
        for position, gradient in enumerate(gradients):
            if swaps := state.swaps[position]:
                mask, magnitude = state.masks[position], state.magnitudes[position]
                assert mask is not None and magnitude is not None  # noqa: S101, PT018 (swaps are of masked tensors)
                state.masks[position] = exchanged(mask, magnitude, gradient, swaps)
                state.swaps[position] = 0
        return gradients

    def after(self, parameters: list[torch.Tensor], state: Moving, *, stacked: bool) -> None:
        """Set the weights that are not held to zero."""
        for parameter, mask in zip(parameters, state.masks, strict=True):
            if mask is not None:
                parameter.mul_(mask)

    def remember(self, state: Moving) -> Memory:
        """Return the device's own masks, one bit a weight, by the position of the parameter."""
        if not self.keeps_memory:
            return {}
        masks = enumerate(state.masks)
        return {str(i): np.packbits(mask.cpu().numpy().astype(np.bool_)) for i, mask in masks if mask is not None}


def exchanged(mask: torch.Tensor, magnitude: torch.Tensor, gradient: torch.Tensor, swaps: int) -> torch.Tensor:
    """Return a mask without its `swaps` smallest weights and with as many others, those with the largest gradients.

    What is dropped does not come back at once, so that all that grows begins at zero. Ties go by position.

    Parameters
    ----------
    mask, magnitude, gradient : Tensor
        Of one shape; the magnitudes are those of the weights as they were received.
    swaps : int
        At most as many as are held, and as are not.
    """
    import torch

    held = mask.reshape(-1) > 0
    size, slope = magnitude.reshape(-1), gradient.reshape(-1).abs()
    worst = torch.where(held, size, torch.inf).argsort(stable=True)[:swaps]
    best = torch.where(held, -torch.inf, slope).argsort(descending=True, stable=True)[:swaps]
    moved = mask.reshape(-1).clone()
    moved[worst] = 0.0
    moved[best] = 1.0
    return moved.reshape(mask.shape)


def held_counts(shapes: Sequence[tuple[int, ...] | None], part: Regrow) -> list[int | None]:
    """Return how many weights of each tensor are held, one or more; None where nothing is pruned."""
    known = [shape for shape in shapes if shape is not None]
    densities = iter(layer_densities(known, 1 - part.sparsity, part.density))
    return [None if shape is None else max(1, round(next(densities) * math.prod(shape))) for shape in shapes]


def layer_densities(shapes: Sequence[tuple[int, ...]], density: float, rule: str) -> list[float]:
    """Return the density of each layer so that all of them together have `density`, up to rounding.

    Parameters
    ----------
    shapes : sequence of shapes
    density : float
        Share of all weights that is held, above 0 and below 1.
    rule : str
        "uniform", or "erk": in proportion to the sum of a layer's dimensions over their product; a layer that would
        have more weights than it can is dense, and the others share the rest.
    """
    if rule == "uniform":
        return [density] * len(shapes)
    raw = [sum(shape) / math.prod(shape) for shape in shapes]
    sizes = [math.prod(shape) for shape in shapes]
    dense: set[int] = set()
    while True:
        left = density * sum(sizes) - sum(sizes[i] for i in dense)
        others = [i for i in range(len(shapes)) if i not in dense]
        factor = left / sum(raw[i] * sizes[i] for i in others) if others else 0.0
        full = {i for i in others if factor * raw[i] > 1}
        if not full:
            return [1.0 if i in dense else factor * raw[i] for i in range(len(shapes))]
        dense |= full


def _largest(magnitudes: Array, count: int) -> NDArray[np.bool_]:
    """Return where the `count` largest values are; ties go by position."""
    kept = np.zeros(magnitudes.size, np.bool_)
    kept[np.argsort(-magnitudes.reshape(-1), kind="stable")[:count]] = True
    return kept.reshape(magnitudes.shape)


def _unpacked(bits: Array, like: Array) -> NDArray[Any]:
    return np.unpackbits(bits, count=like.size).astype(np.bool_).reshape(like.shape)
