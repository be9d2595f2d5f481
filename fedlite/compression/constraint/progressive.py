"""Sparsity that grows round by round: few weights are dropped while the model is young, most of them early on.

References
----------
Zhu, Gupta 2018, "To prune, or not to prune: exploring the efficacy of pruning for model compression", equation 1; their
steps are rounds here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.constraint.magnitude import Mask, Masked, check_leaves, check_scope, check_sparsity, masks
from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.compression.constraint.base import Received


@dataclass(frozen=True)
class Progressive(Masked):
    """The smallest weights of the received model are held at zero, more of them in later rounds.

    Attributes
    ----------
    sparsity : float
        Share of the prunable weights held at zero in the end, above 0 and below 1.
    first : int
        Round in which pruning begins, at `initial`; before, nothing is held at zero. 1 is the first round.
    rounds : int
        Rounds from there until `sparsity` is reached.
    initial : float
        Share at the beginning, from 0 to below `sparsity`.
    every : int
        The share changes every so many rounds.
    scope : str
        "global" ranks the magnitudes of all layers together, "local" layer by layer.
    """

    name: ClassVar[str] = "progressive"
    cites: ClassVar[tuple[str, ...]] = ("zhu2018prune",)

    sparsity: float
    rounds: int
    first: int = 1
    initial: float = 0.0
    every: int = 1
    scope: str = "global"

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        check_scope(self.scope)
        if not 0 <= self.initial < self.sparsity:
            raise PartError(
                f"initial: got {self.initial}, expected from 0 to below sparsity {self.sparsity}; write 0.0"
            )
        for name, least in (("rounds", 1), ("first", 0), ("every", 1)):
            if getattr(self, name) < least:
                raise PartError(f"{name}: got {getattr(self, name)}, expected {least} or more; write for example 10")
        if self.every > self.rounds:
            raise PartError(f"every: got {self.every}, expected at most rounds, {self.rounds}; write 1")

    @property
    def label(self) -> str:
        """Such as "90% sparse by round 21"."""
        return f"{100 * self.sparsity:.6g}% sparse by round {self.first + self.rounds}"

    @property
    def remark(self) -> str:
        """What zeros do not save, and from when on."""
        return (
            f"the mask makes nothing faster and needs memory of its own; bytes are saved where zeros are left out, all"
            f" of them from round {self.first + self.rounds} on"
        )

    def share(self, round_: int) -> float:
        """Return the share that is held at zero in a round: `s_f + (s_i - s_f) (1 - t)^3`, t from 0 to 1."""
        past = min(round_ - self.first, self.rounds)
        if past < 0:
            return 0.0
        past = self.rounds if past == self.rounds else past - past % self.every
        return self.sparsity + (self.initial - self.sparsity) * (1 - past / self.rounds) ** 3

    def check_layers(self, sizes: Mapping[str, int]) -> None:
        """Refuse a share that leaves a layer nothing in the end."""
        check_leaves(self.sparsity, self.scope, sizes)

    def masks(self, received: Received) -> list[Mask | None]:
        """Return the masks of the smallest weights, as many as the round asks for."""
        share = self.share(received.round_)
        if not share:
            return [None] * len(received.parameters)
        return masks(received.parameters, received.names, share, self.scope)
