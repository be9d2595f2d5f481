"""Weights of one bit: a sign, times the mean magnitude of their output row.

References
----------
Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", equation 6 (the
scale).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedlite.compression.constraint.binary import binary_positions
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
        from fedlite.delivery.layers import DENSE, layers_of, no_such_layers
        from fedlite.delivery.signs import BinaryWeights

        net = artefact.as_trained(self.name)
        layers = layers_of(net, DENSE, self.name, "linear or convolutional layers")
        weights = list(dict(net.named_parameters()).items())
        # The same ones as in training, whose ends may be no such layers.
        binary = binary_positions([value.detach().numpy() for _, value in weights], ends=self.ends)
        chosen = {weights[position][0] for position in binary}
        names = [name for name in layers if f"{name}.weight".lstrip(".") in chosen]
        if not names:
            raise no_such_layers(net, self.name, "linear or convolutional layers between its first and last weights")
        return artefact.with_layers(
            {name: BinaryWeights(layers[name]) for name in names}, None, binary_layers=len(names)
        )
