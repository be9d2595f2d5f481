"""States of a battery, each with what holds from there on: a check that whatever follows the battery shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_charges(states: Sequence[tuple[float, float]], charge: float, like: str) -> None:
    """Raise PartError unless states fall from the fullest battery to an empty one and `charge` is a share.

    Parameters
    ----------
    states : sequence of (charge, value)
    charge : float
        Of the device as it is shown.
    like : str
        States as one may write them, for the message.
    """
    charges = [one for one, _ in states]
    if not charges or charges[-1] != 0.0 or charges != sorted(set(charges), reverse=True) or charges[0] > 1.0:
        raise PartError(
            f"states: got charges {charges}, expected falling shares that end with 0; write for example {like}"
        )
    if not 0.0 <= charge <= 1.0:
        raise PartError(f"charge: got {charge}, expected a share of 0 to 1; 1 is the default")


def state_at(states: Sequence[tuple[float, float]], charge: float) -> int:
    """Return the place of the state that holds at a charge."""
    return next(place for place, (least, _) in enumerate(states) if charge >= least)
