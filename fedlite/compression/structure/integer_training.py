"""The full net, trained with 8-bit integers forward and backward, which keeps int8 of each activation.

The layers are those of `compression/layers/integer.py`. What is saved is memory: what autograd keeps of activations is
traced in bytes like that of any other net. Master weights, gradients as the optimiser gets them, and the optimiser's
state stay float32. No time is saved: the integers are multiplied as floats here, no engine in the device profiles
trains in integers, and rounding comes on top, which is traced as well.

On a microcontroller the peak of a step is what autograd keeps, so that it shows there. A phone is priced by the memory
that a real training engine was measured to take, which unfolds inputs into float32 matrices: it saves next to nothing.

References
----------
Wu, Li, Chen, Shi 2018 (WAGE); Wang, Rasoulinezhad, Leong, So 2022 (NITI).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.full import Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True)
class IntegerTraining(Structure):
    """The full net whose forward and backward pass have 8-bit operands."""

    name: ClassVar[str] = "integer-training"
    cites: ClassVar[tuple[str, ...]] = ("wu2018wage", "wang2022niti")
    covers: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Such as "8-bit training"."""
        return "8-bit training"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "activations are kept as 8-bit integers, which saves memory where they are most of it; nothing gets faster,"
            " and weights and what is sent are as large as ever"
        )

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net with its layers replaced.

        Raises
        ------
        PartError
            If it has a layer that cannot be, or none that is.
        """
        from fedlite.compression.layers.integer import INTEGER, refusal
        from fedlite.compression.layers.swap import swap

        net = spec.build()
        if reason := refusal(net):
            raise PartError(f"integer-training: got {reason}, or leave the part out")
        swap(net, INTEGER, "a linear or convolutional layer")
        return net

    def plain(self, spec: NetSpec) -> nn.Module:
        """Return the full net: its layers are computed by kernels, and nothing is simulated."""
        return spec.build()

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Whole:
        """Return that every tensor lies where it is."""
        return Whole(full)
