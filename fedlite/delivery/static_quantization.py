"""Static quantisation after training: integer weights, and integer inputs whose ranges were seen on calibration rows.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 2. Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction" (no data; here
ranges are those of normal noise, which standardised inputs resemble).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

SOURCES: Final = ("client", "none")
_WARM: Final = 8
"""Where ranges are known, one row in so many is looked at."""


@dataclass(frozen=True)
class StaticQuantization(Delivery):
    """Every dense layer multiplies 8-bit integers.

    Attributes
    ----------
    calibration : str
        "client": rows of a client, whose forward passes are charged. "none": normal noise instead of data.
    rows : int
        How many.
    keep : tuple of str
        Names or patterns of layers that stay in float32, such as the last one.
    warm : bool
        Begin with the ranges of what was shipped before and look at an eighth of the rows, which may widen them; the
        rows that this takes are told beside those from nothing.
    per_tensor : bool
        One scale for the weights of a layer instead of one for each output: the grid of training against rounding.
    """

    name: ClassVar[str] = "static-quantization"
    cites: ClassVar[tuple[str, ...]] = ("jacob2018quantization", "nagel2019datafree")

    calibration: str = "client"
    rows: int = 64
    keep: tuple[str, ...] = ()
    warm: bool = False
    per_tensor: bool = False

    def __post_init__(self) -> None:
        if self.calibration not in SOURCES:
            raise PartError(f"calibration: got {self.calibration!r}, expected client or none; 'client' is the default")
        if self.rows < 1:
            raise PartError(f"rows: got {self.rows}, expected 1 or more; 64 is the default")

    @property
    def label(self) -> str:
        """Such as "static int8"."""
        return "static int8" if self.calibration == "client" else "static int8 without data"

    @property
    def remark(self) -> str:
        """Where it gains."""
        return "static int8 is made after training, which it neither speeds up nor slows down"

    @property
    def begins_with_previous(self) -> bool:
        """If it is warm."""
        return self.warm

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with integer layers."""
        from fedlite.delivery.integers import IntegerLayer
        from fedlite.delivery.layers import DENSE, layers_of
        from fedlite.delivery.ranges import input_ranges

        layers = layers_of(artefact.net, DENSE, self.name, "linear or convolutional layers", self.keep)
        x = self._rows(rows)
        known = self._known(layers, rows)
        if known:
            x = x[: max(1, self.rows // _WARM)]
        ranges = input_ranges(artefact.net, layers, x, known)
        made = {
            name: IntegerLayer(layer, 8, *ranges[name], per_tensor=self.per_tensor)
            for name, layer in layers.items()
            if name in ranges
        }
        return artefact.with_layers(
            made,
            "int8",
            forward_samples=len(x) if self.calibration == "client" else 0,
            int8_layers=len(made),
            **({"calibration_rows": len(x), "calibration_rows_from_nothing": self.rows} if self.warm else {}),
        )

    def _known(self, layers: Collection[str], rows: Calibration) -> dict[str, tuple[float, float]]:
        """Return the ranges of those layers that the previous artefact has quantised, if they count."""
        from fedlite.delivery.integers import IntegerLayer

        if not self.warm or rows.previous is None:
            return {}
        before = dict(rows.previous.named_modules())
        return {
            name: one.range for name in layers if isinstance(one := before.get(name), IntegerLayer) and not one.dynamic
        }

    def _rows(self, rows: Calibration) -> NDArray[np.float32]:
        if self.calibration == "client":
            return rows.x[: self.rows]
        return rows.rng.standard_normal((self.rows, *rows.x.shape[1:])).astype(np.float32)
