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
_SETTLED: Final = 1e-2
"""An iteration that lessens the squared error by no more than this share is the last."""


@dataclass(frozen=True)
class Clustering(Delivery):
    """Every dense layer's weights are K values.

    Attributes
    ----------
    clusters : int
        K, 2 to 256; indices take ceil(log2 K) bits each, packed without gaps.
    keep : tuple of str
        Names or patterns of layers that stay in float32.
    warm : bool
        Begin with the codebooks of what was shipped before, and end as soon as it hardly gets better; the iterations
        that this takes are told beside those from nothing.
    """

    name: ClassVar[str] = "clustering"
    cites: ClassVar[tuple[str, ...]] = ("han2016deep",)

    clusters: int = 16
    keep: tuple[str, ...] = ()
    warm: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.clusters <= MOST:  # noqa: PLR2004 (stated in the message)
            raise PartError(f"clusters: got {self.clusters}, expected 2 to {MOST}; write for example 16")

    @property
    def label(self) -> str:
        """Such as "16 shared weights"."""
        return f"{self.clusters} shared weights{' from the last ones' if self.warm else ''}"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "shared weights are looked up before use: the file is smaller, inference is not faster"

    @property
    def begins_with_previous(self) -> bool:
        """If it is warm."""
        return self.warm

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with codebooks and indices."""
        from fedlite.delivery.codebook import SharedWeights
        from fedlite.delivery.layers import DENSE, layers_of

        layers = layers_of(artefact.net, DENSE, self.name, "linear or convolutional layers", self.keep)
        if not self.warm:
            made = {name: SharedWeights(layer, self.clusters) for name, layer in layers.items()}
            return artefact.with_layers(made, None)
        starts = dict(rows.previous.named_buffers()) if rows.previous is not None else {}
        made, cold = {}, 0
        for name, layer in layers.items():
            book = starts.get(f"{name}.codebook")
            from_nothing = SharedWeights(layer, self.clusters, settled=_SETTLED)
            cold += from_nothing.iterations
            made[name] = (
                from_nothing if book is None else SharedWeights(layer, self.clusters, book.numpy(), settled=_SETTLED)
            )
        taken = sum(one.iterations for one in made.values())
        return artefact.with_layers(
            made, None, iterations=taken, iterations_from_nothing=cold, share_of_time=taken / cold
        )
