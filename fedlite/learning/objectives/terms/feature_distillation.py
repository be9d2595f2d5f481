"""Feature distillation: a layer in the middle of the net responds as the teacher's does.

References
----------
Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", equation 3: the squared distance of the features, through a
regressor where the student's layer is narrower. The regressor is trained beside the student and thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Batch, Term

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

_LEAST = 1e-12


@dataclass(frozen=True)
class FeatureDistillation(Term):
    """The squared distance of a layer's features from the teacher's, as a share of the teacher's mean square.

    Attributes
    ----------
    layer : str
        Whose features are compared.
    weight : float
        How much it counts beside the objective's own loss.
    teacher_layer : str
        The teacher's, where it is called otherwise.
    """

    name: ClassVar[str] = "feature-distillation"
    cites: ClassVar[tuple[str, ...]] = ("romero2015fitnets",)

    layer: str
    weight: float = 1.0
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise PartError(f"weight: got {self.weight}, expected a finite number above 0; leave the term out for none")
        if not self.layer:
            raise PartError("layer: got an empty name, expected a layer of the net; write for example 'conv2'")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one that is named."""
        return (self.layer,)

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """The one that is named for the teacher, or else for both."""
        return (self.teacher_layer or self.layer,)

    @property
    def effects(self) -> Effects:
        """One more forward pass beside one forward and one backward pass of two, and the teacher in memory."""
        return Effects(step_time=4 / 3, weight_copies=1.0)

    @property
    def label(self) -> str:
        """Such as "features of conv2 1"."""
        return f"features of {self.layer} {self.weight:g}"

    @property
    def remark(self) -> str:
        """What it costs."""
        return "the teacher's forward pass makes training steps slower, and its weights take memory"

    def helper(self, batch: Batch) -> nn.Module | None:
        """Return a regressor from the channels of the net to those of the teacher, where they differ in number.

        Raises
        ------
        PartError
            If the features differ in more than their channels.
        """
        ours, theirs = batch.features[self.layer], self._wanted(batch)
        if ours.shape == theirs.shape:
            return None
        return regressor(self.layer, ours, theirs)

    def losses(self, batch: Batch) -> Tensor:
        """Return weight * mean (ours - theirs)^2 / mean theirs^2 per sample; the last mean is that of the batch."""
        ours, theirs = batch.features[self.layer], self._wanted(batch)
        if batch.helper is not None:
            ours = batch.helper(ours)
        scale = theirs.square().mean().clamp(min=_LEAST)
        losses: Tensor = self.weight * (ours - theirs).square().flatten(1).mean(dim=1) / scale
        return losses

    def _wanted(self, batch: Batch) -> Tensor:
        return batch.teacher.answer.features[self.teacher_layers[0]]


def regressor(layer: str, ours: Tensor, theirs: Tensor) -> nn.Module:
    """Return a linear map, at every place alike, from features (B, p, ...) to features (B, q, ...).

    Raises
    ------
    PartError
        If the features differ in more than their channels.
    """
    from torch import nn

    if ours.shape[2:] != theirs.shape[2:]:
        raise PartError(
            f"layer: got {layer!r}, which gives {tuple(ours.shape[1:])} where the teacher gives"
            f" {tuple(theirs.shape[1:])}, expected features that differ in their channels only; name other layers"
        )
    kinds: dict[int, Callable[[int, int], nn.Module]] = {
        2: nn.Linear,
        3: lambda p, q: nn.Conv1d(p, q, 1),
        4: lambda p, q: nn.Conv2d(p, q, 1),
    }
    if ours.dim() not in kinds:
        raise PartError(
            f"layer: got {layer!r}, which gives {tuple(ours.shape[1:])}, expected channels and up to two more"
            " dimensions; name another layer"
        )
    return kinds[ours.dim()](ours.shape[1], theirs.shape[1])
