"""Mixed precision: quantisation-aware training with a number of bits for each layer, chosen by its name.

Sensitive layers keep many bits or stay float32, others make do with few. Which ones, a sweep says
(`fedlite/planning/bit_budget.py`).

References
----------
Dong, Yao, Gholami, Mahoney, Keutzer 2019, "HAWQ: Hessian Aware Quantization of Neural Networks with Mixed-Precision".
The rounding is that of `fake-quant` (Jacob et al. 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Final

from fedlite.compression.constraint.base import Array, Constraint, Received
from fedlite.compression.constraint.fake_quant import FAKE_QUANT_SPEED, fake_quantize
from fedlite.compression.constraint.magnitude import prunable
from fedlite.compression.part import Effects, PartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

FLOAT: Final = 32
"""Stands for weights that stay as they are."""
LEAST, MOST = 2, 8


@dataclass(frozen=True)
class MixedBits(Constraint):
    """Every forward pass sees the weights rounded, to as many bits as the first pattern that fits a name says.

    Attributes
    ----------
    bits : tuple of (str, int)
        Pairs of a pattern of parameter names (with `*` and `?`) and 2 to 8 bits, or 32 for none of it.
    others : int
        Bits of weights that no pattern fits.
    """

    name: ClassVar[str] = "mixed-bits"
    cites: ClassVar[tuple[str, ...]] = ("dong2019hawq", "jacob2018quantization")

    bits: tuple[tuple[str, int], ...]
    others: int = 8

    def __post_init__(self) -> None:
        for name, width in (*(("bits", width) for _, width in self.bits), ("others", self.others)):
            if not (LEAST <= width <= MOST or width == FLOAT):
                raise PartError(
                    f"{name}: got {width}, expected {LEAST} to {MOST} bits, or {FLOAT} for float32; write 8"
                )

    @property
    def effects(self) -> Effects:
        """That of `fake-quant`: the rounded copy, and its slower steps; who knows of bits by layer stores them."""
        return Effects(step_time=1 / math.sqrt(math.prod(FAKE_QUANT_SPEED)), weight_copies=2.0)

    @property
    def label(self) -> str:
        """Such as "8 bits, *.0.weight 4"."""
        return ", ".join([f"{self.others} bits", *(f"{pattern} {width}" for pattern, width in self.bits)])

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "training steps are slower, not faster; bytes are saved where layers are stored with their bits"

    def init(self, received: Received) -> list[int]:
        """Return the bits of each parameter."""
        return self.of(received.names, received.parameters)

    def of(self, names: Sequence[str], arrays: Sequence[Array]) -> list[int]:
        """Return the bits of each tensor; `FLOAT` for all but matrices and kernels.

        Raises
        ------
        PartError
            If a pattern fits no matrix or kernel.
        """
        weights = [name for name, array in zip(names, arrays, strict=True) if prunable(array)]
        for pattern, _ in self.bits:
            if not any(fnmatchcase(name, pattern) for name in weights):
                raise PartError(
                    f"bits: got {pattern!r}, expected one that fits a weight: {', '.join(weights)}; mend it"
                )
        return [self._of_name(name) if name in weights else FLOAT for name in names]

    def _of_name(self, name: str) -> int:
        return next((width for pattern, width in self.bits if fnmatchcase(name, pattern)), self.others)

    def seen(self, parameters: list[torch.Tensor], state: list[int], *, stacked: bool) -> list[torch.Tensor]:
        """Return the rounded weights."""
        return [
            weight if width == FLOAT else fake_quantize(weight, width, stacked=stacked)
            for weight, width in zip(parameters, state, strict=True)
        ]
