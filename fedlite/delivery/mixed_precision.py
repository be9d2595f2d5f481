"""Bits layer by layer: each width's cost is measured on held-out rows, and the best choice within a budget is taken.

References
----------
Dong et al. 2019, "HAWQ: Hessian AWare Quantization of Neural Networks with Mixed-Precision" (sensitivity by layer; here
it is the measured loss itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery, replaced

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class MixedPrecision(Delivery):
    """Every dense layer's weights are packed integers of its own number of bits.

    Attributes
    ----------
    budget : float
        Share of the float32 weights' bytes that the packed ones may take.
    bits : tuple of int
        Widths to choose from: of 8, 4 and 2.
    """

    name: ClassVar[str] = "mixed-precision"
    cites: ClassVar[tuple[str, ...]] = ("dong2019hawq",)

    budget: float = 0.12
    bits: tuple[int, ...] = (8, 4, 2)

    def __post_init__(self) -> None:
        if not 0 < self.budget < 1:
            raise PartError(f"budget: got {self.budget}, expected above 0 and below 1; 0.125 is 4 bits on average")
        if not self.bits or not set(self.bits) <= {8, 4, 2}:
            raise PartError(f"bits: got {list(self.bits)}, expected some of 8, 4 and 2; leave it out for all")

    @property
    def label(self) -> str:
        """Such as "mixed bits within 12%"."""
        return f"mixed bits within {self.budget:.0%}"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "packed weights are unpacked to float32 before use: the file is smaller, inference is not faster"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with packed weights."""
        from fedlite.delivery.integers import IntegerWeights
        from fedlite.delivery.layers import DENSE, layers_of, weight_of
        from fedlite.planning.bit_budget import choose, packed_bytes, sweep

        net = artefact.as_trained(self.name)
        layers = layers_of(net, DENSE, self.name, "linear or convolutional layers")
        sizes = {name: weight_of(layer).numel() for name, layer in layers.items()}
        asked = 0

        def loss_of(bits: Mapping[str, int]) -> float:
            nonlocal asked
            asked += 1
            return rows.loss(replaced(net, {name: IntegerWeights(layers[name], width) for name, width in bits.items()}))

        widths = sweep(loss_of, sizes, self.bits)
        chosen = choose(widths, self.budget * sum(packed_bytes(count, 32) for count in sizes.values()))
        made = {name: IntegerWeights(layers[name], bits) for name, bits in chosen.bits.items()}
        return artefact.with_layers(
            made,
            None,
            forward_samples=asked * rows.held,
            bits=dict(chosen.bits),
            loss_added_alone={one.name: {str(b): float(v) for b, v in one.losses.items()} for one in widths},
            exact=chosen.exact,
        )
