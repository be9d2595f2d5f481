"""One optimiser step on plain tensors, for one client or for a stack of them.

Every rule is elementwise, so the same lines serve a parameter of shape `s` and a stack of shape (K, *s), and the two
execution modes cannot drift apart. The formulas are those of `torch.optim.SGD` and `torch.optim.Adam`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedlite.learning.training.constrained import Constrained
    from fedlite.learning.training.records import LocalConfig

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Optimiser:
    """State and update rule of one job, or of one stack of jobs.

    Parameters
    ----------
    config : LocalConfig
        The rule and its constants.
    parameters : list of Tensor
        Updated in place. Their values now are the proximal term's anchor.
    bound : Constrained
        What must hold of the parameters before the first step and after every step.
    stacked : bool
        Whether the parameters have a leading dimension of clients.
    """

    def __init__(
        self, config: LocalConfig, parameters: list[Tensor], bound: Constrained, *, stacked: bool = False
    ) -> None:
        self._config = config
        self._parameters = parameters
        self._bound = bound
        self._stacked = stacked
        bound.after(parameters, stacked=stacked)
        self._anchor = [p.clone() for p in parameters] if config.proximal_mu else []
        self._first = [torch.zeros_like(p) for p in parameters] if config.momentum or self._is_adam else []
        self._second = [torch.zeros_like(p) for p in parameters] if self._is_adam else []
        self._steps = 0

    @property
    def _is_adam(self) -> bool:
        return self._config.optimizer == "adam"

    def step(self, gradients: list[Tensor], active: int | None = None) -> None:
        """Apply one step. Gradients are only read: autograd may return one tensor for two parameters.

        Parameters
        ----------
        gradients : list of Tensor
            One per parameter. With `active`, of its first `active` clients only.
        active : int, optional
            How many clients at the head of the stack still train; the others keep what they have.
        """
        self._steps += 1
        for i, raw in enumerate(gradients):
            gradient = raw
            parameter = _head(self._parameters[i], active)
            if self._config.weight_decay:
                gradient = gradient.add(parameter, alpha=self._config.weight_decay)
            if self._config.proximal_mu:
                gradient = gradient.add(parameter - _head(self._anchor[i], active), alpha=self._config.proximal_mu)
            if self._is_adam:
                self._adam(parameter, gradient, _head(self._first[i], active), _head(self._second[i], active))
            elif self._config.momentum:
                velocity = _head(self._first[i], active).mul_(self._config.momentum).add_(gradient)
                parameter.add_(velocity, alpha=-self._config.lr)
            else:
                parameter.add_(gradient, alpha=-self._config.lr)
        if self._bound.pairs:
            self._bound.after([_head(p, active) for p in self._parameters], stacked=self._stacked)

    def _adam(self, parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> None:
        first.lerp_(gradient, 1 - _BETA_1)
        second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
        root = second.sqrt().div_(math.sqrt(1 - _BETA_2**self._steps)).add_(_EPSILON)
        parameter.addcdiv_(first, root, value=-self._config.lr / (1 - _BETA_1**self._steps))


def _head(stack: Tensor, active: int | None) -> Tensor:
    return stack if active is None else stack[:active]
