"""Weight sharing: every weight of a layer is one of K values, stored as a codebook and packed indices.

References
----------
Han, Mao, Dally 2016, "Deep Compression", section 3 (k-means of the weights of a layer, linear initialisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

MOST: Final = 256


@dataclass(frozen=True)
class Clustering(Delivery):
    """Every dense layer's weights are K values.

    Attributes
    ----------
    clusters : int
        K, 2 to 256; indices take 1, 2, 4 or 8 bits, whichever suffices.
    keep : tuple of str
        Names or patterns of layers that stay in float32.
    """

    name: ClassVar[str] = "clustering"
    cites: ClassVar[tuple[str, ...]] = ("han2016deep",)

    clusters: int = 16
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= MOST:  # noqa: PLR2004 (stated in the message)
            raise PartError(f"clusters: got {self.clusters}, expected 2 to {MOST}; 16 is the default")

    @property
    def label(self) -> str:
        """Such as "16 shared weights"."""
        return f"{self.clusters} shared weights"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "shared weights are looked up before use: the file is smaller, inference is not faster"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with codebooks and indices."""
        from fedlite.delivery.codebook import SharedWeights
        from fedlite.delivery.layers import DENSE, layers_of

        layers = layers_of(artefact.net, DENSE, self.name, "linear or convolutional layers", self.keep)
        return artefact.with_layers({name: SharedWeights(layer, self.clusters) for name, layer in layers.items()}, None)
