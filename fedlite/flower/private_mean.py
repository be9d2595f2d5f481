"""Central differential privacy around any strategy that averages: it is handed one noisy mean in place of the replies.

The noise is added before the strategy's own step, which is then post-processing, whatever it is (momentum, Adam). Every
owner of data has one voice: the mean of what its devices sent, clipped. The sum over owners is divided by the number
that a round was planned for, not by that of the replies, so that whoever is missing changes neither the sensitivity nor
the noise; an error reply is one that is missing.

References
----------
McMahan, Ramage, Talwar, Zhang 2018, "Learning differentially private recurrent language models", algorithm 1 with the
fixed-denominator estimator (section 2.2). Andrew et al. 2021 (adaptive norm). Kairouz et al. 2021
(trees).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedlite.client.job import EQUAL_WEIGHT, EXAMPLES, TRAIN_LOSS
from fedlite.client.stages.base import norm_of
from fedlite.errors import FedliteError
from fedlite.flower import compat
from fedlite.flower.post import FIRST_NODE_ID
from fedlite.flower.records import first_of, from_record, to_record
from fedlite.flower.secagg_grid import SUMMED
from fedlite.privacy.draws import DRAWS, devices_of
from fedlite.privacy.releases import Release
from fedlite.privacy.tree import step_noise
from fedlite.rng import stream
from fedlite.wire import is_float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flwr.serverapp import Grid

    from fedlite.privacy.adaptive import AdaptiveNorm
    from fedlite.privacy.samplers import Draw

Array = NDArray[Any]
Ids = NDArray[np.int64]


class BudgetSpentError(FedliteError):
    """The next release would spend more than the budget."""


@dataclass(frozen=True)
class Guard:
    """What a server does to be private.

    Attributes
    ----------
    noise_multiplier : float
        z of a release: of the sum, and of the count if the norm adapts.
    sum_noise : float
        Noise multiplier of the sum alone; the same where the norm is fixed.
    norm : float
        Clipping norm, the first one where it adapts.
    on_client : bool
        Devices clip; else the server does.
    sampling : str
        See `privacy.samplers`; "none" leaves the choice to the strategy.
    draw : Draw
    owner_of : ndarray of int, shape (devices,)
        Whose data is on each device.
    askable : ndarray of bool, shape (devices,)
        Devices that may ever be asked.
    seed : int
    adapts : AdaptiveNorm, optional
    limit : int, optional
        Most releases that the budget allows.
    bare_limit : int, optional
        The same once amplification by sampling can be claimed no more.
    longest : int, optional
        Most rounds of a tree, where the noise is that of trees: then nobody is asked twice in one.
    """

    noise_multiplier: float
    sum_noise: float
    norm: float
    on_client: bool
    sampling: str
    draw: Draw
    owner_of: Ids
    askable: NDArray[np.bool_]
    seed: int
    adapts: AdaptiveNorm | None = None
    limit: int | None = None
    bare_limit: int | None = None
    longest: int | None = None


@dataclass(frozen=True)
class _Round:
    """What is known of a round between asking and aggregating."""

    arrays: ArrayRecord
    drawn: int


@dataclass(frozen=True)
class _Drawn:
    """Nodes of drawn owners that are there, and how many owners were drawn."""

    there: list[int]
    owners: int


class _Tree:
    """The tree of noise that is under way: its number, the rounds it has published, and the owners asked in it."""

    def __init__(self) -> None:
        self.number = 0
        self.rounds = 0
        self.asked: set[int] = set()

    def restart(self) -> None:
        """Begin another one."""
        self.number, self.rounds, self.asked = self.number + 1, 0, set()


@dataclass(frozen=True)
class _Voices:
    """Replies of a round: updates and bits by owner, and what every reply tells of its training."""

    updates: dict[int, list[list[Array]]] = field(default_factory=dict)
    clipped: dict[int, list[float]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    summed: list[int] = field(default_factory=list)
    """Of how many clients each reply is the mean; 0 for a reply of one's own."""


class PrivateMean(Strategy):
    """A strategy that sees no reply but the noisy mean of a round.

    Parameters
    ----------
    strategy : Strategy
        Begins with a weighted mean of the replies; weighs by `EQUAL_WEIGHT`.
    guard : Guard
    """

    def __init__(self, strategy: Strategy, guard: Guard) -> None:
        self.strategy = strategy
        self.guard = guard
        self.norm = guard.norm
        self.releases: list[Release] = []
        self._round: _Round | None = None
        self._tree = _Tree()
        self._floats: list[bool] = []
        """Which arrays of the model are floating numbers: told by the first, for strategies average counters too."""

    def summary(self) -> None:
        """Log what the strategy logs."""
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw who is asked.

        Raises
        ------
        BudgetSpentError
            If the round's release would exceed the budget.
        """
        guard = self.guard
        self._floats = self._floats or [is_float(array) for array in from_record(arrays)]
        self._keep_budget(guard.bare_limit if any(map(self._is_short, self.releases)) else guard.limit)
        if guard.on_client:
            config[compat.CLIPPING_NORM_KEY] = self.norm
        seen, drawn = self._seen(server_round, grid)
        messages = list(self.strategy.configure_train(server_round, arrays, config, seen))
        if drawn is not None and not drawn.there:
            messages = []
        owners = {self._owner(message.metadata.dst_node_id) for message in messages}
        self._tree.asked |= owners
        self._round = _Round(arrays, len(owners) if drawn is None else drawn.owners)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the strategy makes of the noisy mean; nothing of a round in which nobody was to reply.

        Raises
        ------
        BudgetSpentError
            If somebody who was drawn is missing, and without amplification the release would exceed the budget.
        """
        began, self._round = self._round, None
        if began is None:
            raise FedliteError("privacy: got replies to a round that was not begun; call configure_train first")
        voices = self._voices([reply for reply in replies if reply.has_content()], began)
        if not voices.updates and self.guard.sampling == "none":
            return None, None
        start, guard = from_record(began.arrays), self.guard
        total, centred = self._sum(voices, [array.shape for array in start])
        rng = stream(guard.seed, "privacy/noise", server_round)
        drawn, replied = began.drawn, len(voices.updates)
        if (summed := _summed(voices)) is not None:
            total, replied = summed
        released = Release(server_round, guard.noise_multiplier, self.norm, drawn, replied, self._tree.number)
        if self._is_short(released):
            self._keep_budget(guard.bare_limit)
        noise = self._noise(rng, [array.shape for array in start])
        std = guard.sum_noise * self.norm
        mean = [
            np.asarray(old + (part + std * unit) / guard.draw.cohort) if floats else old
            for old, part, unit, floats in zip(start, total, noise, self._floats, strict=True)
        ]
        self.releases.append(released)
        if guard.adapts is not None:
            share = guard.adapts.share(centred, float(rng.normal()), guard.draw.cohort)
            self.norm = guard.adapts.next(self.norm, share)
        metrics = MetricRecord({EXAMPLES: sum(voices.examples), EQUAL_WEIGHT: 1.0, TRAIN_LOSS: _mean(voices.losses)})
        content = RecordDict({"arrays": to_record(list(began.arrays), mean), "metrics": metrics})
        one = Message(content, dst_node_id=FIRST_NODE_ID, message_type="train")
        return self.strategy.aggregate_train(server_round, [one])

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Leave it to the strategy."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Leave it to the strategy."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _is_short(self, release: Release) -> bool:
        """Tell whether somebody is missing whom chance had drawn."""
        return self.guard.sampling != "none" and release.replied < release.drawn

    def _keep_budget(self, limit: int | None) -> None:
        if limit is not None and len(self.releases) >= limit:
            raise BudgetSpentError(
                f"privacy.max_epsilon: {len(self.releases)} releases have spent what one more would exceed"
            )

    def _owner(self, node: int) -> int:
        return int(self.guard.owner_of[node - FIRST_NODE_ID])

    def _seen(self, round_: int, grid: Grid) -> tuple[Grid, _Drawn | None]:
        """Return the grid as the strategy is to see it, and whom chance drew, if it did."""
        if self.guard.longest is not None:
            return cast("Grid", _Shown(lambda: self._fresh(grid))), None
        if self.guard.sampling == "none":
            return grid, None
        drawn = self._drawn(round_, grid)
        # Nobody drawn is there: the strategy still learns what the round began with, if need be once somebody else is.
        return cast("Grid", _Shown(lambda: drawn.there or list(grid.get_node_ids())[:1])), drawn

    def _drawn(self, round_: int, grid: Grid) -> _Drawn:
        guard = self.guard
        devices = np.flatnonzero(guard.askable)
        owners = np.unique(guard.owner_of[devices])
        drawn = DRAWS[guard.sampling](guard.draw, owners, round_, guard.seed)
        nodes = devices_of(drawn, devices, guard.owner_of[devices], round_, guard.seed) + FIRST_NODE_ID
        there = set(grid.get_node_ids())
        return _Drawn([node for node in sorted(nodes.tolist()) if node in there], len(drawn))

    def _fresh(self, grid: Grid) -> list[int]:
        """Return a node of every owner who was not asked in this tree; the tree ends once too few are left."""
        guard, tree = self.guard, self._tree
        askable = set(guard.owner_of[guard.askable].tolist())
        enough = guard.draw.population // (guard.longest or 1)
        if tree.rounds == guard.longest or len(askable - tree.asked) < enough:
            tree.restart()
        found: dict[int, int] = {}
        for node in grid.get_node_ids():
            owner = self._owner(node)
            if owner not in tree.asked:
                found.setdefault(owner, node)
        return sorted(found.values())

    def _voices(self, replies: Sequence[Message], began: _Round) -> _Voices:
        """Return the updates of a round's replies by owner, in the order of the replies."""
        start, voices = from_record(began.arrays), _Voices()
        for reply in replies:
            arrays, metrics = first_of(reply.content, ArrayRecord), first_of(reply.content, MetricRecord)
            if arrays is None or metrics is None:
                continue
            owner = self._owner(reply.metadata.src_node_id)
            update = [new - old for new, old in zip(from_record(arrays), start, strict=True)]
            if not all(np.isfinite(part).all() for part in update):
                continue  # no clipping bounds it: as good as missing
            voices.updates.setdefault(owner, []).append(update)
            voices.clipped.setdefault(owner, []).append(float(cast("float", metrics.get(compat.NORM_BIT_KEY, 0.0))))
            voices.losses.append(float(cast("float", metrics.get(TRAIN_LOSS, float("nan")))))
            voices.summed.append(int(cast("int", metrics.get(SUMMED, 0))))
            voices.examples.append(int(cast("int", metrics.get(EXAMPLES, 0))))
        return voices

    def _sum(self, voices: _Voices, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Array], float]:
        """Return the sum of the owners' clipped voices in float64, and that of their bits less one half.

        What is no floating number, such as a counter, has no voice.
        """
        guard, total, centred = self.guard, [np.zeros(shape) for shape in shapes], 0.0
        for owner in sorted(voices.updates):
            parts = zip(*voices.updates[owner], strict=True)
            voice = [np.asarray(sum(each) / len(each), dtype=np.float64) for each in parts]
            voice = [part if floats else part * 0.0 for part, floats in zip(voice, self._floats, strict=True)]
            length = norm_of(voice)
            # Also what devices have clipped: nobody is trusted to, and rounding lengthens.
            scale = min(1.0, self.norm / length) if length > 0 else 1.0
            total = [so_far + scale * part for so_far, part in zip(total, voice, strict=True)]
            centred += 0.5 - (_mean(voices.clipped[owner]) if guard.on_client else float(length > self.norm))
        return total, centred

    def _noise(self, rng: np.random.Generator, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """Return the unit noise of a round: its own, or what it adds to that of its tree."""
        if self.guard.longest is None:
            return [rng.normal(size=shape) for shape in shapes]
        self._tree.rounds += 1
        return list(step_noise(self.guard.seed, self._tree.number, self._tree.rounds, shapes))


class _Shown:
    """A grid on which only some nodes are to be seen, for strategies that choose from all there are."""

    def __init__(self, look: Callable[[], list[int]]) -> None:
        self._look = look

    def get_node_ids(self) -> list[int]:
        """Return those nodes."""
        return list(self._look())


def _summed(voices: _Voices) -> tuple[list[Array], int] | None:
    """Return the sum that secure aggregation left of a round, and of how many owners it is; None without it.

    What the devices clipped nobody can clip again.
    """
    if voices.summed == [0] * len(voices.summed):
        return None
    [count] = voices.summed
    [[update]] = voices.updates.values()
    return [count * np.asarray(part, np.float64) for part in update], count


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
