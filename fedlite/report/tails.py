"""What the tail of a radio means for whoever wants to save energy: it follows a transfer of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping


def dominates(costs: Mapping[str, Any]) -> bool:
    """Tell whether radio tails cost more than computing, and more than moving the bytes.

    Parameters
    ----------
    costs : mapping
        Has `energy_j`, `radio_j` and `tail_j`, as summaries have; without numbers nothing dominates.
    """
    energy_j, radio_j, tail_j = (number(costs.get(key)) for key in ("energy_j", "radio_j", "tail_j"))
    return tail_j > energy_j - radio_j and tail_j > radio_j - tail_j


def remark(costs: Mapping[str, Any], of: str = "the energy") -> str:
    """Return what a dominating tail means, in one sentence."""
    part = percent(number(costs["tail_j"]) / number(costs["energy_j"]), 0)
    return (
        f"{part} of {of} is the tail of the radio, which stays awake for a while after a transfer of any size: "
        "smaller updates save little of it, fewer jobs do."
    )
