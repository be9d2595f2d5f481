"""What an adversary of the chosen trust model sees of a run: the very arrays, as they came to where it sits.

==========  ==========================================================================================================
sees        what is kept of a round
==========  ==========================================================================================================
updates     the model that went out, and each update as the server decodes it: after clip, noise and codec
sums        the model that went out, the weighted mean of the updates, and who was in it
models      the model that went out, and that of the next round: what the server released
==========  ==========================================================================================================

Watching changes nothing of a run. Updates are told in the coordinates of the full model; of a client that trains
another structure that is what the server adds to the model, and zero where it holds nothing. The model that went out is
kept as the server has it, before any codec of the way down. Only floating tensors are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Array = NDArray[Any]


@dataclass(frozen=True)
class Seen:
    """What was recorded.

    Attributes
    ----------
    arrays : mapping
        `ROUND/model/NAME`, `ROUND/mean/NAME`, `ROUND/DEVICE/NAME`.
    rounds : sequence of mappings
        One per round in which replies came: its number, and device, owner and number of examples of each reply.
    """

    arrays: Mapping[str, Array]
    rounds: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Watch:
    """What is to be recorded.

    Attributes
    ----------
    sees : str
        "updates", "sums" or "models".
    rounds : frozenset of int
    clients : int or None
        The most updates of a round; None for all.
    """

    sees: str
    rounds: frozenset[int]
    clients: int | None = None


@dataclass(frozen=True)
class Who:
    """Whose reply it is: the device, whose data it has, and how many examples that is."""

    device: int
    client: int
    examples: int


@dataclass
class _Round:
    """A round as it is recorded so far."""

    replies: list[dict[str, int]] = field(default_factory=list)
    total: list[NDArray[np.float64]] = field(default_factory=list)
    weight: float = 0.0


class Tape:
    """Records what is seen of a run's rounds.

    Parameters
    ----------
    watch : Watch
    names : sequence of str
        Of the model's tensors.
    """

    def __init__(self, watch: Watch, names: Sequence[str]) -> None:
        self._watch = watch
        self._names = names
        self._floating: list[str] = []
        self._arrays: dict[str, Array] = {}
        self._rounds: dict[int, _Round] = {}

    def wants(self, round_: int) -> bool:
        """Tell whether single updates of a round are needed."""
        return self._watch.sees != "models" and round_ in self._watch.rounds

    def model(self, round_: int, arrays: Sequence[Array]) -> None:
        """Keep the model that a round begins with, if it is to be kept."""
        if round_ in self._watch.rounds or (self._watch.sees == "models" and round_ - 1 in self._watch.rounds):
            self._keep(f"{round_}/model", arrays)

    def reply(self, round_: int, who: Who, update: Callable[[], list[Array]], weight: float) -> None:
        """Keep a reply, if it is to be kept.

        Parameters
        ----------
        round_ : int
        who : Who
        update : callable
            Gives the update, in the coordinates of the full model.
        weight : float
            Of the update in the round's mean.
        """
        if round_ not in self._watch.rounds:
            return
        one, watch = self._rounds.setdefault(round_, _Round()), self._watch
        kept = watch.sees == "updates" and (watch.clients is None or len(one.replies) < watch.clients)
        if watch.sees == "updates" and not kept:
            return
        one.replies.append({"device": who.device, "client": who.client, "examples": who.examples})
        if watch.sees == "models":
            return
        found = update()
        if kept:
            self._keep(f"{round_}/{who.device}", found)
            return
        floats = [part.astype(np.float64) * weight for part in found if wire.is_float(part)]
        one.total = floats if not one.total else [old + new for old, new in zip(one.total, floats, strict=True)]
        one.weight += weight

    def seen(self) -> Seen:
        """Return what was recorded."""
        arrays = dict(self._arrays)
        for number, one in self._rounds.items():
            if one.weight > 0:
                arrays |= {f"{number}/mean/{name}": values for name, values in self._means(one)}
        rounds = [{"round": number, "replies": one.replies} for number, one in sorted(self._rounds.items())]
        return Seen(arrays, rounds)

    def _means(self, one: _Round) -> Iterator[tuple[str, Array]]:
        for name, values in zip(self._floating, one.total, strict=True):
            yield name, (values / one.weight).astype(np.float32)

    def _keep(self, where: str, arrays: Sequence[Array]) -> None:
        self._floating = [name for name, part in zip(self._names, arrays, strict=True) if wire.is_float(part)]
        for name, part in zip(self._names, arrays, strict=True):
            if wire.is_float(part) and f"{where}/{name}" not in self._arrays:
                self._arrays[f"{where}/{name}"] = np.array(part)
