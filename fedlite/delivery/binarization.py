"""Weights of one bit: a sign, times the mean magnitude of their output row.

References
----------
Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", equation 6 (the
scale).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedlite.delivery.base import Artefact, Calibration, Delivery


@dataclass(frozen=True)
class Binarization(Delivery):
    """Dense layers have one bit a weight and a scale a row.

    Attributes
    ----------
    ends : bool
        Whether the first and the last layer are binary too.
    """

    name: ClassVar[str] = "binarization"
    cites: ClassVar[tuple[str, ...]] = ("rastegari2016xnor",)

    ends: bool = False

    @property
    def label(self) -> str:
        """Such as "1-bit weights"."""
        return "1-bit weights"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "signs are unpacked to float32 before use: the file is smaller, inference is not faster"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with signs and scales."""
        from fedlite.delivery.layers import DENSE, layers_of
        from fedlite.delivery.signs import BinaryWeights

        layers = layers_of(artefact.as_trained(self.name), DENSE, self.name, "linear or convolutional layers")
        names = list(layers) if self.ends else list(layers)[1:-1]
        return artefact.with_layers(
            {name: BinaryWeights(layers[name]) for name in names}, None, binary_layers=len(names)
        )
