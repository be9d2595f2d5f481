"""Group lasso over channels: training itself empties those that it can do without, to be taken out afterwards.

A group of the lasso is everything that makes one channel (or the channels of one normalisation group): rows of weights,
biases, factors of normalisation, in all layers that make it, as `compression.channels.coupling` finds them. Gradient
steps bring a group near to zero, not to zero: the delivery `structured-pruning` takes out what is `below` a share of
its layer's largest.

References
----------
Wen et al. 2016, "Learning Structured Sparsity in Deep Neural Networks", equation 4 (filters and channels as groups).
Yuan, Lin 2006, "Model Selection and Estimation in Regression with Grouped Variables" (the root of the group's size).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Batch, Term

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedlite.compression.channels.groups import Coupling


@dataclass(frozen=True)
class GroupLasso(Term):
    """The sum of the lengths of all channels.

    Attributes
    ----------
    weight : float
        How much it counts beside the objective's own loss.
    """

    name: ClassVar[str] = "group-lasso"
    cites: ClassVar[tuple[str, ...]] = ("wen2016learning",)

    weight: float = 0.003

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise PartError(f"weight: got {self.weight}, expected a finite number above 0; leave the term out for none")

    @property
    def effects(self) -> Effects:
        """A few operations a weight, where a batch of 16 takes 48 at least; and a gradient of its own."""
        return Effects(step_time=1 + 4 / 48, weight_copies=1.0)

    @property
    def label(self) -> str:
        """Such as "group lasso 0.003"."""
        return f"group lasso {self.weight:g}"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "training makes channels small and nothing faster; only taking them out saves anything"

    def losses(self, batch: Batch) -> Tensor:
        """Return weight times the sum over channels of root(size) times length, one number for all.

        Raises
        ------
        PartError
            If no channel of the net could be taken out; it names layers.
        """
        coupling = _coupling(batch.net, tuple(batch.inputs.shape[1:]))
        named = dict(zip(batch.names, batch.parameters, strict=True))
        return self.weight * penalty(coupling, named)


def penalty(coupling: Coupling, named: dict[str, Tensor]) -> Tensor:
    """Return the sum over all units of root(size) times length, as a number of shape ()."""
    import torch

    total = torch.zeros((), device=next(iter(named.values())).device)
    for position in coupling.chosen():
        group = coupling.groups[position]
        parts = []
        for name, rows in group.makers.items():
            if name in named:
                chosen = torch.as_tensor(rows.reshape(-1), device=named[name].device)
                parts.append(named[name].index_select(0, chosen).reshape(group.units, -1))
        all_of_it = torch.cat(parts, dim=1)
        # vector_norm, whose gradient at zero is zero: a channel that is gone stays so.
        total = total + math.sqrt(all_of_it.shape[1]) * torch.linalg.vector_norm(all_of_it, dim=1).sum()
    return total


_COUPLINGS: WeakKeyDictionary[nn.Module, Coupling] = WeakKeyDictionary()
"""Of the nets that are being trained: it depends on how a net is built, not on its weights."""


def _coupling(net: nn.Module, input_shape: tuple[int, ...]) -> Coupling:
    from fedlite.compression.channels.coupling import coupled

    if net not in _COUPLINGS:
        # How channels hang together is asked of a copy that computes where probes do.
        _COUPLINGS[net] = coupled(copy.deepcopy(net).cpu(), input_shape)
    return _COUPLINGS[net]
