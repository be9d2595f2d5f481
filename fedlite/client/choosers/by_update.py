"""The next finer plan as soon as the loss stops falling: coarse updates first, where they do no harm.

The running average of the training loss is compared with what it was some rounds earlier; where it has not fallen, the
next plan of the list holds from then on. With `int2`, `int4` and `int8` the bits double. A device on a fast link may be
some plans ahead.

References
----------
Hönig, Zhao, Mullins 2022, "DAdaQuant: Doubly-adaptive quantization for communication-efficient Federated Learning",
section 3.2 (time-adaptive quantization; its client-adaptive half needs weights of clients that a plan does not know).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.client.choosers.base import Asked, Choice, Chooser, Ended, Ids, Setting
from fedlite.client.choosers.course import Course
from fedlite.client.choosers.links import check_rates, link_class
from fedlite.compression.part import PartError


@dataclass(frozen=True)
class ByUpdate(Chooser):
    """Plans from the coarsest to the finest, each until the loss stands still.

    Attributes
    ----------
    patience : int
        Rounds over which the running average must fall.
    smoothing : float
        Weight of the past in the running average, 0 up to below 1.
    links : tuple of float
        Uplink rates, bit/s, rising: with each that its link reaches a device is one plan ahead.
    """

    name: ClassVar[str] = "by-update"
    cites: ClassVar[tuple[str, ...]] = ("honig2022dadaquant",)

    patience: int = 5
    smoothing: float = 0.9
    links: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise PartError(f"patience: got {self.patience}, expected 1 or more; write for example 5")
        if not 0.0 <= self.smoothing < 1.0:
            raise PartError(f"smoothing: got {self.smoothing}, expected 0 up to below 1; write for example 0.9")
        check_rates(self.links)

    def begin(self, setting: Setting) -> Choice:
        """Return it at the coarsest plan."""
        return _Plateau(self, setting.arms)


class _Plateau(Choice):
    def __init__(self, rule: ByUpdate, arms: int) -> None:
        self._rule, self._finest = rule, arms - 1
        self._course = Course()
        self._level = 0
        self._averages: list[float] = []
        """Since the level changed."""

    def pick(self, asked: Asked) -> Ids:
        for _, loss in self._course.closed(asked.round_):
            self._see(loss)
        ahead = link_class(self._rule.links, asked.standing.up_bps)
        return np.minimum(self._level + ahead, self._finest)

    def note(self, ended: Ended) -> None:
        self._course.add(ended)

    def _see(self, loss: float) -> None:
        past, rule = self._averages, self._rule
        past.append(loss if not past else rule.smoothing * past[-1] + (1.0 - rule.smoothing) * loss)
        still = len(past) > rule.patience and past[-1] >= past[-1 - rule.patience]
        if still and self._level < self._finest:
            self._level += 1
            self._averages = past[-1:]
