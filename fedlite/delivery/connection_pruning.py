"""Connections set to zero in groups: those from the inputs that add least to a layer, by their Shapley values.

References
----------
Ghorbani, Zou 2020, "Neuron Shapley: Discovering the Responsible Neurons".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery


@dataclass(frozen=True)
class ConnectionPruning(Delivery):
    """A share of the groups of inputs of one layer has no connections left; they are zeros, and nothing is faster.

    Attributes
    ----------
    layer : str
        Name of a dense layer; the one with the most weights if not told.
    share : float
        Of the groups that goes.
    groups : int
        Into how many its inputs are parted.
    permutations : int
        Random orders from which the values are estimated.
    """

    name: ClassVar[str] = "connection-pruning"
    cites: ClassVar[tuple[str, ...]] = ("ghorbani2020neuron",)

    layer: str = ""
    share: float = 0.5
    groups: int = 16
    permutations: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise PartError(f"share: got {self.share}, expected above 0 and below 1; 0.5 cuts half of the connections")
        if self.groups < 2 or self.permutations < 2:  # noqa: PLR2004 (stated in the message)
            raise PartError(
                f"groups: got {self.groups} and {self.permutations} permutations, expected 2 or more of both"
            )

    @property
    def label(self) -> str:
        """Such as "50% of connections cut"."""
        return f"{100 * self.share:.6g}% of connections cut"

    @property
    def remark(self) -> str:
        """What zeros do not save."""
        return "cut connections are zeros: the file is smaller only through an entropy coder, and nothing is faster"

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact with zeros."""
        import torch

        from fedlite.delivery.layers import DENSE, layers_of, weight_of
        from fedlite.planning.shapley import estimated, worth_of_connections

        net = artefact.as_trained(self.name)
        layers = layers_of(net, DENSE, self.name, "linear or convolutional layers")
        chosen = self.layer or max(layers, key=lambda name: weight_of(layers[name]).numel())
        if chosen not in layers:
            raise PartError(f"layer: got {chosen!r}, expected one of {', '.join(layers)}; mend the name")
        inputs = weight_of(layers[chosen]).shape[1]
        parts = [part.tolist() for part in np.array_split(np.arange(inputs), min(self.groups, inputs))]
        count = max(1, round(self.share * len(parts)))
        if count == len(parts):
            raise PartError(
                f"share: got {self.share}, which leaves {chosen} none of its {count} groups of inputs, expected to"
                f" leave one; {(count - 1) / count:.4g} does"
            )
        worth = worth_of_connections(net, f"{chosen}.weight", parts, lambda one: -rows.loss(one))
        shares = estimated(len(parts), worth, rows.rng, self.permutations)
        gone = shares.least(count)
        cut = copy.deepcopy(net)
        with torch.no_grad():
            for group in gone:
                weight_of(cut.get_submodule(chosen))[:, parts[group]] = 0.0
        return artefact.with_net(
            cut, forward_samples=shares.asked * rows.held, layer=chosen, groups=len(parts), cut=len(gone),
            largest_standard_error=float(shares.errors.max()),
        )  # fmt: skip
