"""The mildest technique that keeps a model within budgets on a device: candidates are measured, the best one stays."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from fedlite.compression.part import PartError
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Recipe,
    Search,
    Technique,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.techniques.technique import Bench

LADDER: Final = (
    "none",
    "static-int8",
    "width-slicing:share=0.75",
    "width-slicing:share=0.75+static-int8",
    "width-slicing:share=0.5",
    "width-slicing:share=0.5+static-int8",
    "width-slicing:share=0.25",
    "width-slicing:share=0.25+static-int8",
)
"""Candidates, those that take least of a model first."""


@dataclass(frozen=True)
class Budgets:
    """The most that a model may take, each by the name of its quantity; infinite where nothing is said."""

    stored_bytes: float = math.inf
    up_bytes: float = math.inf
    down_bytes: float = math.inf
    latency_ms: float = math.inf
    training_step_ms: float = math.inf
    energy_mj: float = math.inf
    peak_memory_bytes: float = math.inf

    def exceeded(self, found: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Return the quantities beyond their budgets: name -> (found, budget)."""
        pairs = ((one.name, _number(found[one.name]), float(getattr(self, one.name))) for one in fields(self))
        return {name: (value, most) for name, value, most in pairs if value > most}


@dataclass(frozen=True)
class Automatic(Search):
    """Measures every candidate and keeps the most accurate of those within the budgets; the first of equals.

    Attributes
    ----------
    budgets : Budgets
    candidates : tuple of str
        Techniques as `name:option=value,...`, several joined by "+"; "none" for the model as it is.
    """

    budgets: Budgets
    candidates: tuple[str, ...] = LADDER

    def find(self, bench: Bench) -> tuple[Recipe, dict[str, Any]]:
        """Return the candidate that stays, and what each came to.

        Raises
        ------
        PartError
            If none is within the budgets: the message says how near the nearest came.
        """
        recipes = [parsed(text) for text in self.candidates]
        found = [bench.measure(recipe) for recipe in recipes]
        over = [self.budgets.exceeded(one) for one in found]
        tried = [
            {"candidate": text, "accuracy": float(one["accuracy"]), "over_budget": {k: v[0] for k, v in beyond.items()}}
            for text, one, beyond in zip(self.candidates, found, over, strict=True)
        ]
        fitting = [place for place, beyond in enumerate(over) if not beyond]
        if not fitting:
            raise PartError(_nearest(self.candidates, over))
        best = max(fitting, key=lambda place: (float(found[place]["accuracy"]), -place))
        return recipes[best], {"chosen": self.candidates[best], "candidates": tried}


def _nearest(candidates: Sequence[str], over: Sequence[Mapping[str, tuple[float, float]]]) -> str:
    worst = [max(value / most for value, most in beyond.values()) for beyond in over]
    place = worst.index(min(worst))
    what = ", ".join(f"{name} {value:.4g} of {most:.4g}" for name, (value, most) in over[place].items())
    return f"auto: no candidate is within the budgets; the nearest, {candidates[place]}, takes {what}; allow more"


def _number(value: Any) -> float:
    return float(value["value"] if isinstance(value, dict) else value)


def parsed(text: str) -> Recipe:
    """Return the recipe that a candidate's text stands for.

    Raises
    ------
    PartError, UnknownNameError
        If it is written wrongly, or names something that searches itself.
    """
    from fedlite.techniques import technique
    from fedlite.techniques.pipeline import joined

    recipe = Recipe()
    for part in text.split("+") if text != "none" else ():
        name, _, options = part.partition(":")
        pairs = [pair.partition("=") for pair in options.split(",") if pair]
        made = technique(name).made({key: value for key, _, value in pairs})
        if not isinstance(made, Recipe):
            raise PartError(f"candidates: got {name!r}, which searches itself, expected techniques; leave it out")
        recipe = joined(recipe, made)
    return recipe


def auto(
    stored_bytes: float = math.inf,
    up_bytes: float = math.inf,
    down_bytes: float = math.inf,
    latency_ms: float = math.inf,
    training_step_ms: float = math.inf,
    energy_mj: float = math.inf,
    peak_memory_bytes: float = math.inf,
    candidates: str = " ".join(LADDER),
) -> Automatic:
    """Measure candidates and take the most accurate one within the budgets; those that were not taken are told."""
    budgets = Budgets(stored_bytes, up_bytes, down_bytes, latency_ms, training_step_ms, energy_mj, peak_memory_bytes)
    return Automatic(budgets, tuple(candidates.split()))


TECHNIQUES: Final = (
    Technique(
        "auto", "search", (4,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK), ("diao2021heterofl",),
        auto, Example(set={"stored_bytes": 40_000}),
    ),
)  # fmt: skip
