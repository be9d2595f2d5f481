"""The server's side of secure aggregation on the fleet: a Grid whose training rounds take four trips.

To a strategy it looks as if one client had trained on everybody's data: it gets one reply, with the mean. What the
server gets of each client are keys, letters that it cannot read, a masked vector and shares; of these it makes the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedlite.client.job import EQUAL_WEIGHT, EXAMPLES
from fedlite.flower.records import averageable, first_of, from_record, in_types, to_record
from fedlite.flower.secagg_members import ACTION, CAP, RECORD, carried, carrying
from fedlite.privacy.secagg import fixed_point
from fedlite.privacy.secagg.errors import BelowThresholdError
from fedlite.privacy.secagg.messages import TRIPS
from fedlite.privacy.secagg.server import Server
from fedlite.privacy.secagg.terms import Terms
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fedlite.flower.grid import FleetGrid

Array = NDArray[Any]
Bools = NDArray[np.bool_]

SUMMED: Final = "summed-clients"
"""Metric of the one reply: how many clients it is the mean of."""
_ROUND: Final = "server-round"
_MASKED: Final = TRIPS.index("masked")


@dataclass(frozen=True)
class Agreement:
    """What a run asks of secure aggregation.

    Attributes
    ----------
    neighbours : int
        At most; where fewer others are asked, all of them.
    threshold : int
        Shares that find a secret again, however few are asked.
    bits : int
    clip : float
    cap : float
        The greatest weight of a client: the most examples that one has, or 1 where all weigh the same.
    names : tuple of str
    dtypes : tuple of dtype
        Of the model's tensors.
    """

    neighbours: int
    threshold: int
    bits: int
    clip: float
    cap: float
    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]

    def terms(self, round_: int, clients: int, length: int) -> Terms:
        """Return the terms of a round in which so many are asked.

        Raises
        ------
        BelowThresholdError
            If they are fewer than the threshold.
        """
        if clients < self.threshold:
            raise BelowThresholdError(
                f"secure aggregation, round {round_}: got {clients} clients to ask, expected at least {self.threshold};"
                " ask more clients, or lower the threshold"
            )
        return Terms(round_, clients, min(self.neighbours, clients - 1), self.threshold, length, self.bits, self.clip)


@dataclass
class Course:
    """How the rounds of a run went: how many clients each sum is of, and which rounds were lost, and why."""

    summed: list[int] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)


class SecureGrid(Grid):
    """The fleet as a strategy sees it that must not see updates.

    Parameters
    ----------
    grid : FleetGrid
    agreement : Agreement
    course : Course
        Is told how rounds go.
    seed : int
        Names the streams of who is whose neighbour.
    """

    def __init__(self, grid: FleetGrid, agreement: Agreement, course: Course, seed: int) -> None:
        self._course = course
        self._grid = grid
        self._agreement = agreement
        self._seed = seed
        self._rounds = 0

    # -- what Flower's server side calls ------------------------------------------------------------------------------

    @property
    def run(self) -> Any:
        """The run that this grid serves."""
        return self._grid.run

    def set_run(self, run: Any) -> None:
        """Accept Flower's run object."""
        self._grid.set_run(run)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> list[int]:
        """Return the nodes that may be asked now."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages that are not of a secure round."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to these."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return one reply with the mean over everybody who took part, or none if the round was lost.

        Messages that do not train go as they are. Time that trips take adds up; each may take `timeout`.
        """
        batch = list(messages)
        if not batch or batch[0].metadata.message_type.partition(".")[0] != "train":
            return self._grid.send_and_receive(batch, timeout=timeout)
        self._rounds += 1
        content = batch[0].content
        config = first_of(content, ConfigRecord)
        named = None if config is None else config.get(_ROUND)
        round_ = named if isinstance(named, int) else self._rounds
        trips = _Trips(self._grid, batch, round_, timeout)
        model = in_types(from_record(first_of(content, ArrayRecord) or ArrayRecord()), self._agreement.dtypes)
        try:
            return self._aggregated(trips, model)
        except BelowThresholdError as error:
            self._course.lost.append({"round": round_, "trip": trips.trip, "why": str(error)})
            return []

    # -- inside -------------------------------------------------------------------------------------------------------

    def _aggregated(self, trips: _Trips, model: Sequence[Array]) -> list[Message]:
        length = 1 + sum(array.size for array in model if array.dtype.kind == "f")
        terms = self._agreement.terms(trips.round_, len(trips.batch), length)
        rng = stream(self._seed, "secure aggregation", "neighbours", trips.round_, self._rounds)
        server = Server(terms, rng)
        trips.query(0, {index: server.hello(index) for index in range(terms.clients)}, server, server.take_keys)
        trips.query(1, server.rosters(), server, server.take_shares)
        replies = trips.train(server.deliveries(), self._agreement.cap, server)
        trips.query(3, server.requests(), server, server.take_shown)
        total, count = server.total(), len(server.masked)
        weight = int(total[0])
        if not weight:
            return []
        self._course.summed.append(count)
        mean = fixed_point.total(total[1:], count, terms.clip, terms.bits) * (self._agreement.cap / weight)
        [reply] = replies[:1]
        reply.content = self._as_reply(model, mean, weight, count)
        return [reply]

    def _as_reply(self, model: Sequence[Array], mean: Array, weight: int, count: int) -> RecordDict:
        """Return the model moved by the mean update; what is no floating number stays."""
        moved, start = [], 0
        for array in model:
            if array.dtype.kind != "f":
                moved.append(array)
                continue
            update = mean[start : start + array.size].reshape(array.shape)
            moved.append((array + update).astype(array.dtype))
            start += array.size
        metrics = MetricRecord({EXAMPLES: weight, EQUAL_WEIGHT: 1.0, SUMMED: count})
        return RecordDict({"arrays": to_record(self._agreement.names, averageable(moved)), "metrics": metrics})


class _Trips:
    """The four exchanges of one round with the clients of a batch; client i is who message i is for."""

    def __init__(self, grid: FleetGrid, batch: Sequence[Message], round_: int, timeout: float | None) -> None:
        self.batch = batch
        self.round_ = round_
        self.trip = TRIPS[0]
        """In which the round is."""
        self._grid = grid
        self._timeout = math.inf if timeout is None else timeout
        self._nodes = [message.metadata.dst_node_id for message in batch]

    def query(self, trip: int, bodies: Mapping[int, bytes], server: Server, take: Callable[[int, bytes], None]) -> None:
        """Ask clients in a trip in which nothing is trained, and take what they answer."""
        kind = f"query.{ACTION}_{TRIPS[trip]}"
        asked = {
            index: Message(
                RecordDict({"config": ConfigRecord({_ROUND: self.round_}), RECORD: carrying(body)}),
                self._nodes[index],
                kind,
                group_id=str(self.round_),
            )
            for index, body in bodies.items()
        }
        self._sent(trip, asked, server, take)

    def train(self, bodies: Mapping[int, bytes], cap: float, server: Server) -> list[Message]:
        """Send the strategy's own messages with the letters, and take the masked vectors; return the replies."""
        asked = {index: self.batch[index] for index in bodies}
        for index, message in asked.items():
            message.content = RecordDict({**message.content, RECORD: carrying(bodies[index], **{CAP: cap})})
        return self._sent(_MASKED, asked, server, server.take_masked)

    def _sent(
        self, trip: int, asked: Mapping[int, Message], server: Server, take: Callable[[int, bytes], None]
    ) -> list[Message]:
        self.trip = TRIPS[trip]
        order, short = list(asked), list[BelowThresholdError]()

        def suffices(arrived: Bools) -> bool:
            try:
                server.check({order[place] for place in np.flatnonzero(arrived).tolist()})
            except BelowThresholdError as error:
                short.append(error)
            return not short

        replies = self._grid.send_and_receive(asked.values(), timeout=self._timeout, suffices=suffices)
        if short:
            raise short[0]
        index_of = {self._nodes[index]: index for index in order}
        heard = []
        for reply in replies:
            body = None if reply.has_error() else carried(reply.content)
            if body is not None:
                take(index_of[reply.metadata.src_node_id], body)
                heard.append(reply)
        return heard
