"""The file of a model through a lossless stage: smaller on flash, unpacked once when the model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from fedlite import wire
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery, replaced


@dataclass(frozen=True)
class EntropyCoding(Delivery):
    """The state, as it is, through a lossless stage of the wire.

    Attributes
    ----------
    stage : str
        Such as "zstd".
    """

    name: ClassVar[str] = "entropy-coding"
    cites: ClassVar[tuple[str, ...]] = ("collet2021zstandard",)

    stage: str = "zstd"

    def __post_init__(self) -> None:
        if self.stage.partition(":")[0] not in wire.LOSSLESS:
            raise PartError(f"stage: got {self.stage!r}, expected one of {', '.join(wire.LOSSLESS)}; write one of them")

    @property
    def label(self) -> str:
        """Such as "zstd file"."""
        return f"{self.stage} file"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact stored through the stage; indices of codebooks get a byte each where that is shorter."""
        from fedlite.delivery.codebook import SharedWeights

        plain = tuple(stage for stage in artefact.codec if stage.partition(":")[0] not in wire.LOSSLESS)
        made = replace(artefact, codec=(*plain, self.stage))
        books = {name: one.aligned() for name, one in made.net.named_modules() if isinstance(one, SharedWeights)}
        if not books:
            return made
        return min(made, replace(made, net=replaced(made.net, books)), key=lambda one: len(one.file()))
