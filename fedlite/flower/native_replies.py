"""What the server gets of native jobs that arrived: one reply each, or one mean that stands for all.

Where the strategy is a weighted mean, it must not matter where the mean is taken. A reply of a client that does not
hold a coordinate therefore carries there what the mean over its holders is: the strategy's own mean is then that mean.
With any other strategy it carries the value that the server had sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Error, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.job import EQUAL_WEIGHT, EXAMPLES, METRIC, TRAIN_LOSS, held_by, packet_of
from fedlite.client.sending import decoded_weights, held_only
from fedlite.client.stages.clip import CLIPPED
from fedlite.compression.overlap import OverlapSum
from fedlite.flower import compat
from fedlite.flower.records import averageable, to_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compression.overlap import Held
    from fedlite.flower.native_clients import NativeClients
    from fedlite.flower.native_jobs import Content, Leg

Array = NDArray[Any]
Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

_METRIC_NAMES = {CLIPPED: compat.NORM_BIT_KEY}
"""Metrics of stages that Flower's strategies know under a name of their own."""


@dataclass(frozen=True)
class Computed:
    """A chunk of jobs that is computed: their leg, their positions in the batch, and what the worker answered."""

    leg: Leg
    positions: Ids
    arrays: Mapping[str, Array]

    @property
    def summed(self) -> bool:
        """Whether one sum came back instead of packets."""
        return "weight" in self.arrays

    @property
    def holds_all(self) -> bool:
        """Whether the clients hold every coordinate of the full model."""
        return self.leg.plan.structure.is_full and not any(name.startswith("held/") for name in self.arrays)

    def held(self, place: int) -> Held | None:
        """Return which coordinates a client of the chunk holds."""
        return held_by(self.arrays, place, len(self.leg.received))

    def weights_of(self, place: int) -> list[Array]:
        """Return the model that the server reads from one client's packet, in the coordinates of its structure."""
        start = held_only(self.leg.received, self.held(place))
        return decoded_weights(packet_of(self.arrays, place), wire.parse_codec(self.leg.plan.up), start)


class Answers:
    """The replies of one batch.

    Parameters
    ----------
    side : NativeClients
    kind : str
    contents : sequence of Content
        The distinct contents of the batch.
    computed : sequence of Computed
    arrived : ndarray of bool
        Which jobs' replies the server gets.
    """

    def __init__(
        self,
        side: NativeClients,
        kind: str,
        contents: Sequence[Content],
        computed: Sequence[Computed],
        arrived: Bools,
    ) -> None:
        self._side = side
        self._kind = kind
        self._contents = contents
        self._computed = computed
        self._arrived = arrived

    def records(self) -> list[RecordDict | Error | None]:
        """Return one content per job, None where none is."""
        replies: list[RecordDict | Error | None] = [None] * len(self._arrived)
        if self._kind == "evaluate":
            for done, place, position in self._arrivals():
                replies[position] = self._evaluation(done, place)
            return replies
        aggregation = self._side.aggregation
        if aggregation.one_reply and len(self._contents) == 1:
            if self._arrived.any():
                replies[int(np.flatnonzero(self._arrived)[0])] = self._mean_reply()
            return replies
        means = self._means() if aggregation.mean else {}
        arrivals = self._arrivals()
        told = self._told_by_all() if arrivals else []
        for done, place, position in arrivals:
            content = done.leg.content
            replies[position] = self._reply(done, place, means.get(id(content), content.arrays), told)
        return replies

    def _arrivals(self) -> list[tuple[Computed, int, int]]:
        return [
            (done, place, position)
            for done in self._computed
            for place, position in enumerate(done.positions.tolist())
            if self._arrived[position]
        ]

    def _means(self) -> dict[int, list[Array]]:
        """Return for each content that somebody holds in part the mean over the holders of each coordinate."""
        partial = [done for done in self._computed if not done.holds_all]
        found = {}
        for content in self._contents:
            if any(done.leg.content is content for done in partial):
                total = self._total([done for done in self._computed if done.leg.content is content])
                found[id(content)] = total.finish(content.arrays)
        return found

    def _total(self, computed: Sequence[Computed]) -> OverlapSum:
        """Return the sums over the arrivals of chunks of one content."""
        total = OverlapSum([array.shape for array in computed[0].leg.content.arrays])
        for done in computed:
            if done.summed and not done.arrays["weight"]:
                continue
            if done.summed:
                sums = [done.arrays[f"sum/{i}"] for i in range(len(done.leg.received))]
                done.leg.placement.add(total, sums, float(done.arrays["weight"]), done.held(0))
                continue
            for place, position in enumerate(done.positions.tolist()):
                if self._arrived[position]:
                    self._add(total, done, place, self._weight(done, place))
        return total

    def _add(self, total: OverlapSum, done: Computed, place: int, weight: float) -> None:
        if weight > 0:
            sums = [weight * array.astype(np.float64) for array in done.weights_of(place)]
            done.leg.placement.add(total, sums, weight, done.held(place))

    def _weight(self, done: Computed, place: int) -> float:
        return 1.0 if self._side.aggregation.equal_weights else float(done.arrays["num_examples"][place])

    def _mean_reply(self) -> RecordDict:
        """Return the mean over the clients that hold each coordinate, as if one client had held all their data."""
        arrays = self._contents[0].arrays
        examples, loss = 0, 0.0
        for done in self._computed:
            arrivals = np.flatnonzero(self._arrived[done.positions])
            counts = done.arrays["num_examples"]
            examples += int(counts[arrivals].sum())
            loss += float((counts[arrivals] * done.arrays["loss"][arrivals]).sum())
        return self._train_reply(self._total(self._computed).finish(arrays), examples, loss / max(examples, 1))

    def _told_by_all(self) -> list[str]:
        """Return the metrics of stages that every arrival has: Flower refuses replies whose metrics differ in name."""
        arrived = [done.arrays for done in self._computed if self._arrived[done.positions].any()]
        return [name for name in arrived[0] if name.startswith(METRIC) and all(name in arrays for arrays in arrived)]

    def _reply(self, done: Computed, place: int, elsewhere: list[Array], told: Sequence[str]) -> RecordDict:
        """Return one client's reply; `elsewhere` has the values of what it does not hold, `told` names its metrics."""
        values = done.arrays
        if done.holds_all:
            arrays = done.weights_of(place)
        else:
            own = OverlapSum([array.shape for array in elsewhere])
            self._add(own, done, place, 1.0)
            arrays = own.finish(elsewhere, zero_masked=False)
        reply = self._train_reply(arrays, int(values["num_examples"][place]), float(values["loss"][place]))
        for name in told:
            metric, number = name.removeprefix(METRIC), float(values[name][place])
            known = _METRIC_NAMES.get(metric)
            reply.metric_records["metrics"][known or metric] = int(number) if known else number
        return reply

    def _train_reply(self, arrays: list[Array], examples: int, loss: float) -> RecordDict:
        record = to_record(self._side.task.names, averageable(arrays))
        metrics = MetricRecord({EXAMPLES: examples, TRAIN_LOSS: loss, EQUAL_WEIGHT: 1.0})
        return RecordDict({"arrays": record, "metrics": metrics})

    def _evaluation(self, done: Computed, place: int) -> RecordDict:
        metrics = {name: float(done.arrays[METRIC + name][place]) for name in self._side.task.metrics}
        return evaluation_reply(int(done.arrays["num_examples"][place]), metrics)


def evaluation_reply(examples: int, metrics: Mapping[str, float]) -> RecordDict:
    """Return the content of an evaluation's reply."""
    named = {f"eval_{name}": value for name, value in metrics.items()}
    return RecordDict({"metrics": MetricRecord({EXAMPLES: examples, **named, EQUAL_WEIGHT: 1.0})})
