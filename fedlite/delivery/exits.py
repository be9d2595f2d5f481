"""Nets with exits that leave by the first one that is sure enough, and the threshold by which they do."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from fedlite.delivery.path import Path

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER: Final = 2.0
"""A threshold that no probability reaches."""
_STEPS: Final = 60
_RATE: Final = 0.05
_GRID: Final = np.append(np.linspace(0.0, 0.99, 100), [0.995, 0.999])


class Gated(nn.Module):
    """A net with exits whose modules keep their names, and the threshold as part of its state.

    On the device an input that leaves early is not computed further; here all exits are, and each row keeps the answer
    of the one by which it leaves.

    Parameters
    ----------
    net : nn.Module
        With `stem`, `blocks` and `heads`.
    threshold : float
        Largest probability from which on an answer counts.
    """

    def __init__(self, net: nn.Module, threshold: float) -> None:
        super().__init__()
        made: Any = copy.deepcopy(net)
        self.stem, self.blocks, self.heads = made.stem, made.blocks, made.heads
        self._all = getattr(net, "outputs", "last") == "all"
        self.register_buffer("threshold", torch.tensor(threshold))

    def each(self, x: Tensor) -> list[Tensor]:
        """Return the scores of every exit."""
        return _exits(self, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return each row's scores by the exit by which it leaves, (batch, classes), or as one exit of all."""
        exits = self.each(x)
        said = exits[-1]
        for scores in reversed(exits[:-1]):
            sure = scores.softmax(dim=1).amax(dim=1) >= self.get_buffer("threshold")
            said = torch.where(sure[:, None], scores, said)
        return said[:, None] if self._all else said


def _exits(net: Any, x: Tensor) -> list[Tensor]:
    x = net.stem(x)
    found = []
    for index, block in enumerate(net.blocks):
        x = block(x)
        if str(index) in net.heads:
            found.append(net.heads[str(index)](x))
    return found


@dataclass(frozen=True)
class State:
    """By which exits inputs leave at a threshold.

    Attributes
    ----------
    threshold : float
    shares : tuple of float
        Of the rows, exit by exit.
    agreement : float
        Share of the rows whose answer is that of the last exit.
    """

    threshold: float
    shares: tuple[float, ...]
    agreement: float


def calibrated(net: nn.Module, x: NDArray[np.float32], agree: float) -> State:
    """Return the lowest threshold at which so large a share of rows (N, *sample) answers as the last exit does."""
    with torch.inference_mode():
        scores = torch.stack(_exits(net.eval(), torch.from_numpy(x)))  # torch's switch: batch statistics stay
    sure = scores.softmax(dim=2).amax(dim=2).numpy()
    said = scores.argmax(dim=2).numpy()
    for threshold in _GRID.tolist():
        found = _leaving(sure, said, threshold)
        if found.agreement >= agree:
            return found
    return _leaving(sure, said, NEVER)


def _leaving(sure: NDArray[np.float32], said: NDArray[np.int64], threshold: float) -> State:
    leaves = sure >= np.float32(threshold)
    leaves[-1] = True
    by = leaves.argmax(axis=0)
    shares = np.bincount(by, minlength=len(sure)) / by.size
    agreement = float((said[by, np.arange(by.size)] == said[-1]).mean())
    return State(threshold, tuple(float(share) for share in shares), agreement)


def fitted(net: nn.Module, teacher: nn.Module, x: NDArray[np.float32]) -> nn.Module:
    """Return a copy of a net whose earlier heads were taught on rows to say what the last exit of the teacher says."""
    made = copy.deepcopy(net).eval()
    heads = list(made.get_submodule("heads").children())[:-1]
    rows = torch.from_numpy(x)
    with torch.no_grad():
        wanted = _exits(teacher.eval(), rows)[-1].softmax(dim=1)
    taught = [one for head in heads for one in head.parameters() if one.requires_grad]
    # Heads that are integers already are as they are.
    if not taught:
        return made
    optimiser = torch.optim.Adam(taught, lr=_RATE)
    for _ in range(_STEPS):
        losses = [-(wanted * scores.log_softmax(dim=1)).sum(dim=1).mean() for scores in _exits(made, rows)[:-1]]
        gradients = torch.autograd.grad(torch.stack(losses).sum(), taught)
        for one, gradient in zip(taught, gradients, strict=True):
            one.grad = gradient
        optimiser.step()
    for one in taught:
        one.grad = None
    return made


def whole(plain: nn.Module) -> nn.Module:
    """Return a copy of a net with exits that computes all of them."""
    made: Any = copy.deepcopy(plain)
    made.outputs = "all"
    net: nn.Module = made
    return net


def paths(plain: nn.Module, shares: tuple[float, ...]) -> tuple[Path, ...]:
    """Return for each exit by which inputs leave the part of the net that is then computed, the exits before it too."""
    found = []
    for index, share in enumerate(shares):
        part: Any = whole(plain)
        part.keep_first(index + 1)
        if share > 0:
            found.append(Path(share, part))
    return tuple(found)
