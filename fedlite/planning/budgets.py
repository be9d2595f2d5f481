"""What a candidate takes against the most that it may: the same words wherever fedlite chooses within budgets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Excess:
    """One budget that a candidate exceeds.

    Attributes
    ----------
    takes, most : float
        What it takes and what it may, in the unit of the budget; the most is above 0.
    """

    takes: float
    most: float

    @property
    def times(self) -> float:
        """How many times the budget it takes."""
        return self.takes / self.most

    @property
    def record(self) -> dict[str, float]:
        """As JSON values."""
        return {"takes": self.takes, "most": self.most, "times": self.times}


def exceeded(budgets: DataclassInstance, takes: Mapping[str, float]) -> dict[str, Excess]:
    """Return the budgets that are exceeded, by name.

    Parameters
    ----------
    budgets : dataclass of floats above 0
        Infinite where nothing is said.
    takes : mapping
        A number by the name of each budget; budgets without one are not judged.
    """
    known = {name: float(most) for name, most in asdict(budgets).items() if name in takes}
    return {name: Excess(takes[name], most) for name, most in known.items() if takes[name] > most}


def nearest(names: Sequence[str], over: Sequence[Mapping[str, Excess]]) -> str:
    """Return which candidate came nearest to its budgets, and by how much it missed them: all of them miss some."""
    worst = [max(one.times for one in beyond.values()) for beyond in over]
    place = worst.index(min(worst))
    what = ", ".join(f"{name} {one.takes:.4g} of {one.most:.4g}" for name, one in over[place].items())
    return f"the nearest, {names[place]}, takes {what}"


def plain(value: Any) -> float:
    """Return a quantity as one number: itself, or the value of its band."""
    return float(value["value"] if isinstance(value, dict) else value)
