"""What a chooser must offer: it picks one of K plans for each job, and hears how jobs ended.

A chooser is a part like any other, a frozen record of options; what it learns in a run is in the `Choice` that it
begins. Everything follows from the order of the run: a run that is resumed asks and tells the same again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.part import Part

if TYPE_CHECKING:
    from fedlite.client.assignment import Standing

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """n jobs that are about to be handed out, all in one round.

    Attributes
    ----------
    round_ : int
        The server's; of an asynchronous server, the version of the model.
    trains : bool
        Whether they train; the others test, and tell nothing afterwards.
    devices : ndarray of int, shape (n,)
    standing : Standing
        What the devices have.
    """

    round_: int
    trains: bool
    devices: Ids
    standing: Standing


@dataclass(frozen=True)
class Ended:
    """n training jobs that are over. Arrays have shape (n,).

    Attributes
    ----------
    round_ : int
    devices : ndarray of int
    arms : ndarray of int
        Which plan each had.
    arrived : ndarray of bool
        Whose update the server got; only of these is the rest known to it.
    up_bytes, raw_bytes : ndarray
        The update as it was sent, and as it is in memory.
    loss : ndarray
        Mean training loss.
    examples : ndarray of int
    """

    round_: int
    devices: Ids
    arms: Ids
    arrived: NDArray[np.bool_]
    up_bytes: Floats
    raw_bytes: Floats
    loss: Floats
    examples: Ids


@dataclass(frozen=True)
class Setting:
    """The run that a chooser is for.

    Attributes
    ----------
    arms : int
        Plans to choose from, at least 2.
    rounds : int
    seed : int
        Names its streams of random numbers.
    """

    arms: int
    rounds: int
    seed: int


class Choice(ABC):
    """A chooser at work."""

    @abstractmethod
    def pick(self, asked: Asked) -> Ids:
        """Return the place of each job's plan among the arms, shape (n,)."""

    def note(self, ended: Ended) -> None:
        """Learn how jobs ended that were picked for, in the order in which the server settles them."""
        del ended


@dataclass(frozen=True)
class Chooser(Part, ABC):
    """A rule of choosing, and its options."""

    @abstractmethod
    def begin(self, setting: Setting) -> Choice:
        """Return it at work, knowing nothing yet."""
