"""What puts other layers in the place of a model's own must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.compression.part import Part

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Layers(Part, ABC):
    """Other layers in a model: its state, on the server and on every device, is theirs.

    Unlike a structure, which only some devices train and which comes back to the full model's coordinates.
    """

    @abstractmethod
    def replace(self, net: nn.Module) -> nn.Module:
        """Return the net with its layers replaced; `net` is the caller's to give away.

        Called on a random stream of the model's own: torch's default generator draws the same numbers each time.

        Raises
        ------
        PartError
            If no layer can be replaced, or one that the options name does not exist.
        """

    def merged(self, net: nn.Module) -> nn.Module:
        """Return what a trained net is delivered as: one that computes the same; `net` itself if nothing can be spared.

        `net` is the caller's to give away.
        """
        return net
