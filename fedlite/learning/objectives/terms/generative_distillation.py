"""Generative distillation: from part of the student's features a small block has to make all of the teacher's.

Of the method ADKD only the summary of a review was known ("generative features" and "head multiplexing"); this is what
fedlite makes of these words, and no reproduction:

* generative features: the student's features, brought to the teacher's channels, are hidden at random places, and a
  block of two convolutions regenerates the teacher's from the rest, as in masked generative distillation;
* head multiplexing: the same features, unhidden, pass what follows that layer in the teacher, its head, which stays as
  it is; there they have to give the teacher's answer.

Both aligner and generator are trained beside the student and thrown away.

References
----------
Yang, Li, Shao, Shi, Yuan, Yuan 2022, "Masked Generative Distillation", equations 2 to 5.
Wang, Chen, Zheng, Li, Cheng, Hou 2024, "CrossKD: Cross-Head Knowledge Distillation for Object Detection" (a student's
features in the teacher's head).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Batch, Term
from fedlite.learning.objectives.terms.feature_distillation import regressor

if TYPE_CHECKING:
    from torch import Tensor, nn

_LEAST = 1e-12


@dataclass(frozen=True)
class GenerativeDistillation(Term):
    """What a teacher's layer responds, regenerated from a part of the student's response, and read by its head.

    Attributes
    ----------
    layer : str
        Whose features are regenerated.
    weight : float
        How much the regenerated features count beside the objective's own loss.
    head : float
        How much the answers of the teacher's head count.
    hidden : float
        Share of the places that are hidden, from 0 to below 1.
    teacher_layer : str
        The teacher's, where it is called otherwise.
    """

    name: ClassVar[str] = "generative-distillation"
    cites: ClassVar[tuple[str, ...]] = ("yang2022masked", "wang2024crosskd")

    layer: str
    weight: float = 1.0
    head: float = 1.0
    hidden: float = 0.5
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        for key in ("weight", "head"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise PartError(f"{key}: got {value}, expected a finite number, 0 or more; write 0 for none")
        if not 0 <= self.hidden < 1:
            raise PartError(f"hidden: got {self.hidden}, expected a share from 0 to below 1; write for example 0.5")
        if not self.layer:
            raise PartError("layer: got an empty name, expected a layer of the net; write for example 'body'")

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
        """The teacher twice forward, and a generator, taken to be as much work and memory as the net; not measured."""
        return Effects(step_time=8 / 3, weight_copies=5.0)

    @property
    def label(self) -> str:
        """Such as "generated body 1, 1"."""
        return f"generated {self.layer} {self.weight:g}, {self.head:g}"

    @property
    def remark(self) -> str:
        """What it costs."""
        return "the teacher is asked twice in each step, and a generator is trained beside the net"

    def helper(self, batch: Batch) -> nn.Module:
        """Return the aligner and the generator.

        Raises
        ------
        PartError
            If the features differ in more than their channels.
        """
        from torch import nn

        ours, theirs = batch.features[self.layer], self._wanted(batch)
        align = regressor(self.layer, ours, theirs)
        channels, dimensions = theirs.shape[1], theirs.dim() - 2
        convolution = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d}[dimensions]
        options = {"kernel_size": 3, "padding": 1} if dimensions else {}
        generate = nn.Sequential(
            convolution(channels, channels, **options), nn.ReLU(), convolution(channels, channels, **options)
        )
        return nn.ModuleList([align, generate])

    def losses(self, batch: Batch) -> Tensor:
        """Return both errors per sample, each as a share of the mean square of what is wanted.

        Raises
        ------
        PartError
            If there is no helper, or it is another term's.
        """
        import torch

        if batch.helper is None:
            raise PartError(f"term {self.name!r}: got no generator, expected the one of its helper; ask for it first")
        align, generate = batch.helper.children()
        theirs, aligned = self._wanted(batch), align(batch.features[self.layer])
        # A place of a picture is hidden in all of its channels; of a plain vector single numbers are.
        places = aligned[:, :1] if aligned.dim() > 2 else aligned  # noqa: PLR2004 (samples, channels)
        shown = torch.rand_like(places) >= self.hidden
        losses = self.weight * _error(generate(aligned * shown), theirs)
        if self.head:
            read = batch.teacher.outputs_with(self.teacher_layers[0], aligned)
            losses = losses + self.head * _error(read, batch.teacher.answer.outputs)
        return losses

    def _wanted(self, batch: Batch) -> Tensor:
        return batch.teacher.answer.features[self.teacher_layers[0]]


def _error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean square of the difference for each sample, over the mean square of what is wanted."""
    return (found - wanted).square().flatten(1).mean(dim=1) / wanted.square().mean().clamp(min=_LEAST)
