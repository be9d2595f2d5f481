"""Weights of 8, 4 or 2 bits, inputs of float32: smaller files, and no kernel here that would be faster for it.

References
----------
Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference: A whitepaper", section 3.1.1
(weights only, per channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

BITS: Final = (8, 4, 2)


@dataclass(frozen=True)
class WeightQuantization(Delivery):
    """Every dense layer's weights are packed integers with one scale per output.

    Attributes
    ----------
    bits : int
        8, 4 or 2.
    keep : tuple of str
        Names or patterns of layers that stay in float32.
    per_tensor : bool
        One scale for the weights of a layer instead: the grid of training against rounding.
    """

    name: ClassVar[str] = "weight-quantization"
    cites: ClassVar[tuple[str, ...]] = ("krishnamoorthi2018quantizing",)

    bits: int = 4
    keep: tuple[str, ...] = ()
    per_tensor: bool = False

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise PartError(f"bits: got {self.bits}, expected 8, 4 or 2; 4 is the default")

    @property
    def label(self) -> str:
        """Such as "int4 weights"."""
        return f"int{self.bits} weights"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return (
            f"int{self.bits} weights are unpacked to float32 before use: the file is smaller, inference is not faster"
        )

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with packed weights."""
        from fedlite.delivery.integers import IntegerWeights
        from fedlite.delivery.layers import DENSE, layers_of

        layers = layers_of(artefact.net, DENSE, self.name, "linear or convolutional layers", self.keep)
        made = {name: IntegerWeights(layer, self.bits, per_tensor=self.per_tensor) for name, layer in layers.items()}
        return artefact.with_layers(made, None)
