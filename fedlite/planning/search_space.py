"""A small space of nets: arguments of a model's factory, each with the values that it may have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from fedlite.compression.structure.subnet import Axes, Choice, Supernet

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Attributes
    ----------
    axes : tuple of (name, values)

    Raises
    ------
    PartError
        If names or values repeat, or an argument has none.
    """

    axes: Axes

    def __post_init__(self) -> None:
        Supernet(self.axes)  # which checks them

    def __len__(self) -> int:
        return len(self.choices())

    def choices(self) -> list[Choice]:
        """Return every net there is, in the order of the axes."""
        names = [name for name, _ in self.axes]
        return [tuple(zip(names, values, strict=True)) for values in product(*(values for _, values in self.axes))]

    @property
    def largest(self) -> Choice:
        """The net of which all others are a part."""
        return tuple((name, max(values)) for name, values in self.axes)

    def drawn(self, rng: np.random.Generator) -> Choice:
        """Draw a net, each alike."""
        return tuple((name, values[int(rng.integers(len(values)))]) for name, values in self.axes)

    def mutated(self, choice: Choice, rng: np.random.Generator) -> Choice:
        """Return a net that differs in one argument, if any has two values."""
        movable = [place for place, (_, values) in enumerate(self.axes) if len(values) > 1]
        if not movable:
            return choice
        place = movable[int(rng.integers(len(movable)))]
        name, values = self.axes[place]
        others = [value for value in values if value != choice[place][1]]
        return (*choice[:place], (name, others[int(rng.integers(len(others)))]), *choice[place + 1 :])
