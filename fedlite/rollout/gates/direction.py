"""Which way a continuous metric gets worse."""

from __future__ import annotations

from typing import Literal, get_args

from fedlite.rollout.gates.parameters import check_name

Direction = Literal["increase", "decrease"]
"""What is bad: more of a latency, or less of an accuracy."""


def check_direction(direction: str) -> None:
    """Refuse any other word.

    Raises
    ------
    UnknownNameError
        If it is another.
    """
    check_name("direction", direction, get_args(Direction))


def sign_of(direction: Direction) -> float:
    """Return 1 where more is bad and -1 where less is."""
    return 1.0 if direction == "increase" else -1.0
