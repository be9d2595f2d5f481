"""Relational distillation: how far samples lie apart, and at which angles, as the teacher has them.

Relations compare samples of one batch with each other, so that the two nets need not give vectors of one length: a
narrow student can learn from a wide teacher at any layer.

References
----------
Park, Kim, Lu, Cho 2019, "Relational Knowledge Distillation", equations 5 to 10: distances divided by their mean,
cosines of the angles of triplets, both by Huber's loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Batch, Term

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-12
"""Squared distance below which two samples lie in one place and have no direction."""


@dataclass(frozen=True)
class RelationalDistillation(Term):
    """The difference of the relations among a batch's samples from those that the teacher sees.

    Attributes
    ----------
    distance, angle : float
        How much distances and angles count beside the objective's own loss.
    layer : str
        Whose features are compared; the outputs if empty.
    teacher_layer : str
        The teacher's, where it is called otherwise.
    """

    name: ClassVar[str] = "relational-distillation"
    cites: ClassVar[tuple[str, ...]] = ("park2019relational",)

    distance: float = 1.0
    angle: float = 2.0
    layer: str = ""
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        for key in ("distance", "angle"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise PartError(f"{key}: got {value}, expected a finite number, 0 or more; write 0 for none")
        if not self.distance + self.angle:
            raise PartError("distance: got 0, and angle 0, expected one of them above 0; leave the term out for none")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one that is named."""
        return (self.layer,) if self.layer else ()

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """The one that is named for the teacher, or else for both."""
        return (self.teacher_layer,) if self.teacher_layer else self.layers

    @property
    def effects(self) -> Effects:
        """One more forward pass beside one forward and one backward pass of two, and the teacher in memory."""
        return Effects(step_time=4 / 3, weight_copies=1.0)

    @property
    def label(self) -> str:
        """Such as "relations 1, 2 of fc1"."""
        return f"relations {self.distance:g}, {self.angle:g}" + (f" of {self.layer}" if self.layer else "")

    @property
    def remark(self) -> str:
        """What it costs."""
        return "the teacher's forward pass makes training steps slower, and its weights take memory"

    def losses(self, batch: Batch) -> Tensor:
        """Return the weighted sum of both differences, one number for all."""
        teacher = batch.teacher.answer
        theirs = teacher.features[self.teacher_layers[0]] if self.teacher_layers else teacher.outputs
        ours = batch.features[self.layer] if self.layer else batch.outputs
        return difference(ours.flatten(1), theirs.flatten(1), self.distance, self.angle)


def difference(ours: Tensor, theirs: Tensor, distance: float, angle: float) -> Tensor:
    """Return how much the relations of (B, p) and (B, q) differ, a number of shape (); 0 for fewer than 2 samples."""
    import torch.nn.functional as F

    total = ours.sum() * 0.0
    if len(ours) < 2:  # noqa: PLR2004 (a relation needs two)
        return total
    (apart, cosines), (wanted_apart, wanted_cosines) = _relations(ours), _relations(theirs)
    if distance:
        total = total + distance * F.smooth_l1_loss(apart, wanted_apart)
    if angle:
        total = total + angle * F.smooth_l1_loss(cosines, wanted_cosines)
    return total


def _relations(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances over their mean (B, B), and cosines of the angle at j between i and k (B, B, B) as [j, i, k].

    All of it comes from inner products, so that memory grows with B cubed and not with the length of a vector too.
    """
    import torch

    # Relations are the same about any origin; about the mean inner products lose no digits to a common offset.
    points = points - points.mean(dim=0)
    inner = points @ points.T
    own = inner.diagonal()
    squared = own[:, None] + own[None, :] - 2 * inner
    apart = squared > _LEAST
    lengths = torch.where(apart, squared, 1.0).sqrt() * apart
    mean = lengths.sum() / apart.sum().clamp(min=1)
    spread = torch.where(mean > 0, mean, 1.0)
    # <x_i - x_j, x_k - x_j> = G_ik - G_ij - G_jk + G_jj
    products = inner[None] - inner[:, :, None] - inner[:, None, :] + own[:, None, None]
    inverse = apart / torch.where(apart, lengths, 1.0)
    return lengths / spread, products * inverse[:, :, None] * inverse[:, None, :]
