"""Residual blocks left out of a trained net: those that add least, by their Shapley values on held-out rows.

References
----------
Ghorbani, Zou 2020, "Neuron Shapley: Discovering the Responsible Neurons" (Shapley values of parts of a net, estimated
from random orders). Veit, Wilber, Belongie 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow
Networks" (blocks can be left out).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, Final

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

MOST_EXACT: Final = 8
"""Blocks up to which every set of them is asked for."""


@dataclass(frozen=True)
class LayerPruning(Delivery):
    """The blocks with the smallest Shapley values are gone.

    Attributes
    ----------
    count : int
        How many.
    permutations : int
        Random orders, where a net has more than eight blocks.
    """

    name: ClassVar[str] = "layer-pruning"
    cites: ClassVar[tuple[str, ...]] = ("ghorbani2020neuron", "veit2016residual")

    count: int = 1
    permutations: int = 20

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("permutations", 2)):
            if getattr(self, name) < least:
                raise PartError(f"{name}: got {getattr(self, name)}, expected {least} or more; leave it out")

    @property
    def label(self) -> str:
        """Such as "1 block left out"."""
        return f"{self.count} block{'s' * (self.count > 1)} left out"

    @property
    def remark(self) -> str:
        """What is not gone."""
        return "where a block changes the shape, its projection stays"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact without these blocks.

        Raises
        ------
        PartError, ShapleyError
            If the net has no blocks that can be left out, or would have none left.
        """
        from fedlite.compression.structure.depth import leave_out
        from fedlite.planning.shapley import estimated, exact, worth_of_blocks

        net = artefact.as_trained(self.name)
        names, worth = worth_of_blocks(net, lambda one: -rows.loss(one))
        if self.count >= len(names):
            raise PartError(
                f"count: got {self.count} of the blocks {', '.join(names)}, expected fewer than {len(names)}; keep one"
            )
        few = len(names) <= MOST_EXACT
        shares = exact(len(names), worth) if few else estimated(len(names), worth, rows.rng, self.permutations)
        gone = shares.least(self.count)
        small = copy.deepcopy(net)
        leave_out(small, gone)
        return artefact.with_net(
            small,
            forward_samples=shares.asked * rows.held,
            shapley_values={name: float(value) for name, value in zip(names, shares.values, strict=True)},
            standard_errors={name: float(value) for name, value in zip(names, shares.errors, strict=True)},
            left_out=[names[block] for block in gone],
        )
