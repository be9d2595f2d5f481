"""Dynamic quantisation: integer weights of linear and recurrent layers; ranges of inputs are looked up at run time.

Convolutions stay as they are, so that a net without linear or recurrent layers gains nothing and is refused.

References
----------
PyTorch documentation, "Quantization", dynamic quantisation (linear and recurrent layers only).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.delivery.base import Artefact, Calibration, Delivery

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class DynamicQuantization(Delivery):
    """Linear layers multiply 8-bit integers; recurrent layers have 8-bit weights.

    Attributes
    ----------
    keep : tuple of str
        Names or patterns of layers that stay in float32.
    """

    name: ClassVar[str] = "dynamic-quantization"
    cites: ClassVar[tuple[str, ...]] = ("jacob2018quantization",)

    keep: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Such as "dynamic int8"."""
        return "dynamic int8"

    @property
    def remark(self) -> str:
        """What it leaves alone."""
        return "dynamic int8 leaves convolutions as they are; it gains what linear and recurrent layers weigh"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with such layers."""
        from torch import nn

        from fedlite.delivery.layers import RECURRENT, layers_of

        kinds = (nn.Linear, *RECURRENT)
        layers = layers_of(artefact.net, kinds, self.name, "linear or recurrent layers", self.keep)
        return artefact.with_layers({n: _made(one) for n, one in layers.items()}, "int8", int8_layers=len(layers))


def _made(layer: nn.Module) -> nn.Module:
    from torch import nn

    from fedlite.delivery.integers import IntegerLayer
    from fedlite.delivery.recurrent import IntegerRecurrent

    return IntegerLayer(layer, 8) if isinstance(layer, nn.Linear) else IntegerRecurrent(layer)
