"""What an importance sees of a group of channels, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.compression.channels.groups import Group

Array = NDArray[Any]
Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of one group, unit by unit, each the alternative of the others.

    Attributes
    ----------
    name : str
        The first layer that makes them.
    units : int
        How many there are.
    filters : mapping
        Layer -> what makes its channels, (units, channels of a unit, inputs, *kernel).
    numbers : array
        All that makes a unit: weights, biases, factors and offsets, (units, numbers).
    scales : mapping
        Normalisation layer -> its factors, (units, channels of a unit).
    slopes : mapping
        As `filters`, the loss's gradients; empty if there are none.
    """

    name: str
    units: int
    filters: Mapping[str, Array]
    scales: Mapping[str, Array]
    numbers: Array
    slopes: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, group: Group, values: Mapping[str, Array], gradients: Mapping[str, Array] | None = None) -> Channels:
        """Return a group's channels, as values and gradients of the net's tensors by name make them."""

        def taken(tensors: Mapping[str, Array], layers: tuple[str, ...]) -> dict[str, Array]:
            names = {layer: f"{layer}.weight" if layer else "weight" for layer in layers}
            return {
                layer: tensors[key][group.members[layer, "out"]].astype(np.float64)
                for layer, key in names.items()
                if key in tensors
            }

        slopes = {} if gradients is None else taken(gradients, group.sources)
        every = [values[name][rows].reshape(group.units, -1) for name, rows in group.makers.items() if name in values]
        numbers = np.concatenate(every, axis=1).astype(np.float64)
        return cls(group.name, group.units, taken(values, group.sources), taken(values, group.norms), numbers, slopes)

    def rows(self) -> Array:
        """Return each unit's filters as one vector, (units, numbers); those of each layer with the same weight."""
        flat = [filters.reshape(self.units, -1) for filters in self.filters.values()]
        sizes = [max(float(np.linalg.norm(part)), np.finfo(np.float64).tiny) for part in flat]
        return np.concatenate([part / size for part, size in zip(flat, sizes, strict=True)], axis=1)


class Importance(ABC):
    """How much each unit of a group matters."""

    cites: ClassVar[tuple[str, ...]] = ()
    """Where it comes from: keys of the packaged bibliography, or whole BibTeX entries."""
    needs_gradients: ClassVar[bool] = False
    """Whether it looks at `slopes`, and so at data."""
    comparable: ClassVar[bool] = False
    """Whether scores of different layers can be compared as they are; else each is divided by its group's mean."""

    @abstractmethod
    def scores(self, channels: Channels) -> Scores:
        """Return a finite number of at least 0 for each unit; the least go first, of equals the last."""
