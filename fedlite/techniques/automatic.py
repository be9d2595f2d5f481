"""The mildest technique that keeps a model within budgets on a device: candidates are measured, the best one stays.

What each costs in accuracy is known here, so that the mildest is the one that loses least; `plan: auto` of a scenario,
which is decided before anything is trained, has to go by the order of its candidates (`planning.auto`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.compression.part import PartError
from fedlite.planning.auto import DELIVERIES, WIDTHS
from fedlite.planning.budgets import exceeded, nearest, plain
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
    from fedlite.techniques.technique import Bench

LADDER: Final = tuple(
    "+".join(part for part in (f"width-slicing:share={width:g}" if width < 1 else "", delivery) if part) or "none"
    for width in WIDTHS
    for delivery in ("", *DELIVERIES)
)
"""Candidates, those that take least of a model first: the order of `planning.auto`, whose wires save nothing here."""


@dataclass(frozen=True)
class Budgets:
    """The most that a model may take, each by the name of its quantity; infinite where nothing is said.

    Raises
    ------
    PartError
        If a budget is not above 0.
    """

    stored_bytes: float = math.inf
    up_bytes: float = math.inf
    down_bytes: float = math.inf
    latency_ms: float = math.inf
    training_step_ms: float = math.inf
    energy_mj: float = math.inf
    peak_memory_bytes: float = math.inf
    inference_memory_bytes: float = math.inf

    def __post_init__(self) -> None:
        for name, most in asdict(self).items():
            if not most > 0:
                raise PartError(f"{name}: got {most}, expected more than 0; leave it out if there is no limit")


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
        over = [exceeded(self.budgets, {name: plain(one[name]) for name in asdict(self.budgets)}) for one in found]
        tried = [
            {
                "candidate": text,
                "accuracy": float(one["accuracy"]),
                "over": {name: excess.record for name, excess in beyond.items()},
            }
            for text, one, beyond in zip(self.candidates, found, over, strict=True)
        ]
        fitting = [place for place, beyond in enumerate(over) if not beyond]
        if not fitting:
            raise PartError(f"auto: no candidate is within the budgets; {nearest(self.candidates, over)}; allow more")
        best = max(fitting, key=lambda place: (float(found[place]["accuracy"]), -place))
        return recipes[best], {"chosen": self.candidates[best], "candidates": tried}


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
    inference_memory_bytes: float = math.inf,
    candidates: str = " ".join(LADDER),
) -> Automatic:
    """Measure candidates and take the most accurate one within the budgets; those that were not taken are told."""
    budgets = Budgets(
        stored_bytes, up_bytes, down_bytes, latency_ms, training_step_ms, energy_mj, peak_memory_bytes,
        inference_memory_bytes,
    )  # fmt: skip
    return Automatic(budgets, tuple(candidates.split()))


TECHNIQUES: Final = (
    Technique(
        "auto", "search", (4,), (STORED, WIRE, COMPUTE, MEMORY), (DEVICE, UPLINK, DOWNLINK), ("diao2021heterofl",),
        auto, Example(set={"stored_bytes": 40_000}),
    ),
)  # fmt: skip
