"""FleetGrid: the simulated fleet as a Flower Grid, in virtual time.

Any ServerApp and any Strategy runs on it unmodified. `send_and_receive` moves a virtual clock, `timeout` is virtual
seconds, and `push_messages`/`pull_messages` deliver replies when they arrive in virtual time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from fedlite.errors import FedliteError, FleetExhaustedError
from fedlite.fleet.booking import book
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.state import PATIENCE_S, Fleet
from fedlite.flower import compat
from fedlite.flower.flight import Closing, Flight, give_up, land, launch
from fedlite.simulation.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.flower.exchange import Runtime

FIRST_NODE_ID = 1024
"""Node id of device 0; ids below stay free for Flower's own (the SuperLink is node 1)."""
DEFAULT_TTL_S = 43_200.0
"""Flower's time to live of a message: how long a server waits for a silent device when it gives no timeout."""
POLLS_BEFORE_WAITING = 16
"""Strategies count nodes a few times per round; an app that asks more often without sending waits for nodes."""


@dataclass(frozen=True)
class RoundPolicy:
    """When a synchronous training round closes, and how a failing device shows.

    `first` closes the round after that many arrivals (over-selection, semi-synchronous rounds); `deadline_s` shortens
    the timeout that the server app gives. With `failures="error"` the server hears of a failure when it happens; with
    "missing" the device stays silent and the server waits for its deadline.
    """

    first: int | None = None
    deadline_s: float = math.inf
    failures: str = "error"


class _Step(Enum):
    """What has come to its time for a pushed message: its computation, its whole job, its patience with silence."""

    COMPUTED = auto()
    ENDED = auto()
    EXPIRED = auto()


@dataclass(frozen=True)
class _Due:
    """An event of a pushed message."""

    flight: Flight
    index: int
    step: _Step = _Step.COMPUTED


class FleetGrid(Grid):
    """The simulated fleet.

    Parameters
    ----------
    fleet : Fleet
        Device state; only the grid changes it.
    runtime : Runtime
        What clients compute.
    ledger : Ledger
        Takes one row per device job.
    policy : RoundPolicy
    start_s : float
        Virtual time at which the run begins.
    run_id : int
        What messages carry as their run.
    """

    def __init__(
        self,
        fleet: Fleet,
        runtime: Runtime,
        ledger: Ledger,
        *,
        policy: RoundPolicy | None = None,
        start_s: float = 0.0,
        run_id: int = 1,
    ) -> None:
        self.fleet = fleet
        self.ledger = ledger
        self.policy = policy or RoundPolicy()
        self.clock: Clock[_Due] = Clock(start_s)
        self.eligible = 0
        """Devices that could be asked when nodes were last counted."""
        self.run_id = run_id
        self.on_train: Callable[[int, bool], None] | None = None
        """Called before train messages leave, with their round and whether the server waits for the whole batch."""
        self._runtime = runtime
        self._sent = 0
        self._exchanges = 0
        self._under_way: dict[str, _Due] = {}
        self._inbox: dict[str, Message] = {}
        self._known: list[int] | None = None
        self._last_nodes: list[int] = []
        self._polls = 0
        self._starving_since_s: float | None = None
        compat.become_server(run_id)

    # -- what Flower's server side calls ------------------------------------------------------------------------------

    @property
    def run(self) -> Any:
        """The run that this grid serves; only its `run_id` means anything."""
        return SimpleNamespace(run_id=self.run_id)

    def set_run(self, run: Any) -> None:
        """Accept Flower's run object; the grid keeps its own."""
        del run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message (deprecated in Flower; older apps call it)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the nodes that may be asked now, in a fixed order.

        Asking again and again without sending anything means that the app waits for nodes: the clock then moves on to
        the next change in who is eligible.
        """
        if self._polls >= POLLS_BEFORE_WAITING and self._look() == self._last_nodes:
            self.wait()
        nodes = self._look()
        # Only an app that hears the same again and again waits in vain: what is new to it may be what it waits for.
        self._polls = self._polls + 1 if nodes == self._last_nodes else 1
        self._last_nodes = nodes
        return list(nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages now; their replies arrive in virtual time and wait for `pull_messages`."""
        batch = list(messages)
        if not batch:
            return []
        flight = self._launch(batch, Closing(), waits=False)
        ids = [message.metadata.message_id for message in batch]
        for index, name in enumerate(ids):
            self._schedule(float(flight.computed_s[index]), name, _Due(flight, index))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there; if none is, move the clock on to the next arrival and return that.

        Returns an empty list only if none of the messages is under way.
        """
        wanted = list(message_ids)
        while not any(name in self._inbox for name in wanted) and any(name in self._under_way for name in wanted):
            _, due = self.clock.pop()
            self._handle(due)
        return [self._inbox.pop(name) for name in wanted if name in self._inbox]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages, move the clock to the end of the round, and return the replies in the order of the messages.

        Parameters
        ----------
        messages : iterable of Message
            At most one per node.
        timeout : float, optional
            Virtual seconds after which the round closes, whoever is missing.
        """
        batch = list(messages)
        if not batch:
            return []
        patience_s = min(math.inf if timeout is None else float(timeout), self.policy.deadline_s)
        flight = self._launch(batch, Closing(patience_s, self.policy.first if _is_train(batch) else None), waits=True)
        land(self.fleet, flight)
        book(self.fleet, self.ledger, flight.jobs, np.arange(len(batch)))
        self._advance(self._round_end_s(flight))
        replies = flight.exchange.replies(flight.arrived)
        answers = [self._answer(flight, index, reply) for index, reply in enumerate(replies)]
        return [answer for answer in answers if answer is not None]

    # -- what a run calls ---------------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Move the clock to the next change in who is eligible.

        Raises
        ------
        FleetExhaustedError
            If nobody can ever become eligible, or too few were for a month of virtual time.
        """
        now_s = self.clock.now_s
        if self._starving_since_s is None:
            self._starving_since_s = now_s
        if now_s - self._starving_since_s > PATIENCE_S:
            raise FleetExhaustedError(self.fleet.why_starved(now_s))
        self._advance(self.fleet.next_change_s(now_s))

    def sleep(self, duration_s: float) -> None:
        """Let virtual time pass, for server apps that sleep; replies that come meanwhile wait for `pull_messages`."""
        until_s = self.clock.now_s + max(0.0, duration_s)
        while self.clock.next_time_s() <= until_s:
            _, due = self.clock.pop()
            self._handle(due)
        self._advance(until_s)

    def finish(self) -> None:
        """Book the pushed messages that are under way when the server stops: nobody hears their replies any more.

        Devices do not learn that the server stopped, so what was begun is paid for in full.
        """
        for due in self._under_way.values():
            if due.step is _Step.EXPIRED:
                continue
            give_up(due.flight, np.array([due.index]))
            book(self.fleet, self.ledger, due.flight.jobs, np.array([due.index]))
        self._under_way.clear()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _look(self) -> list[int]:
        """Return the nodes that may be asked now."""
        if self._known is None:
            self._known = (self.fleet.eligible(self.clock.now_s) + FIRST_NODE_ID).tolist()
            self.eligible = len(self._known)
        return self._known

    def _advance(self, time_s: float) -> None:
        self.clock.advance(time_s)
        self.fleet.advance(self.clock.now_s)
        self._known = None

    def _launch(self, batch: Sequence[Message], closing: Closing, *, waits: bool) -> Flight:
        self._polls, self._known, self._starving_since_s = 0, None, None
        self._exchanges += 1
        for message in batch:
            self._sent += 1
            compat.set_ids(message, f"{self.run_id}-{self._sent}", self.run_id)
        devices = np.array([message.metadata.dst_node_id - FIRST_NODE_ID for message in batch], dtype=np.int64)
        self._check_nodes(devices)
        round_ = _round_of(batch[0], self._exchanges)
        if self.on_train is not None and _is_train(batch):
            self.on_train(round_, waits)
        exchange = self._runtime.open(batch, devices)
        return launch(self.fleet, exchange, batch, devices, self.clock.now_s, round_, closing)

    def _check_nodes(self, devices: NDArray[np.int64]) -> None:
        strangers = devices[(devices < 0) | (devices >= len(self.fleet))] + FIRST_NODE_ID
        if strangers.size:
            raise FedliteError(
                f"server app: got messages to the nodes {strangers.tolist()}, which are not in the fleet;"
                " send to nodes that grid.get_node_ids() returned"
            )

    def _round_end_s(self, flight: Flight) -> float:
        """Return when the server closes a synchronous round."""
        heard, closing = flight.heard, flight.closing
        if closing.first is not None and int(heard.sum()) >= closing.first:
            return float(flight.end_s[heard].max())
        late = flight.timeline.outcome == Outcome.LATE.code
        if (late | (~heard & (self.policy.failures == "missing"))).any():
            return flight.start_s + min(closing.patience_s, DEFAULT_TTL_S)
        return float(flight.end_s.max())

    def _answer(self, flight: Flight, index: int, reply: RecordDict | Error | None) -> Message | None:
        message = flight.messages[index]
        reply_id = f"{message.metadata.message_id}-reply"
        outcome = Outcome.of_code(int(flight.timeline.outcome[index]))
        # The error of a job that raised is worth telling only if the device lived to send it.
        heard = outcome is Outcome.ARRIVED or (outcome is Outcome.CLIENT_ERROR and self.policy.failures == "error")
        if reply is not None and heard:
            return compat.reply(message, reply, reply_id)
        if outcome in (Outcome.ARRIVED, Outcome.LATE) or self.policy.failures == "missing":
            return None
        return compat.reply(message, Error(compat.ERROR_NODE_UNAVAILABLE, f"{outcome}: {outcome.advice}"), reply_id)

    def _schedule(self, time_s: float, message_id: str, due: _Due) -> None:
        self._under_way[message_id] = due
        self.clock.schedule(max(time_s, self.clock.now_s), due)

    def _handle(self, due: _Due) -> None:
        """Handle one event of pushed messages: computed, then uploaded (or failed, or expired in silence)."""
        flight, index = due.flight, due.index
        name = flight.messages[index].metadata.message_id
        self._advance(self.clock.now_s)
        if due.step is _Step.COMPUTED:
            land(self.fleet, flight)
            self._schedule(float(flight.end_s[index]), name, _Due(flight, index, _Step.ENDED))
            return
        if due.step is _Step.ENDED:
            book(self.fleet, self.ledger, flight.jobs, np.array([index]))
            if not flight.heard[index] and self.policy.failures == "missing":
                # The device is free again, but the server hears nothing until the message expires.
                self._schedule(flight.start_s + DEFAULT_TTL_S, name, _Due(flight, index, _Step.EXPIRED))
                return
        del self._under_way[name]
        only = np.zeros(len(flight.messages), dtype=bool)
        only[index] = flight.arrived[index]
        answer = self._answer(flight, index, flight.exchange.replies(only)[index])
        if answer is None:
            expired = Error(compat.ERROR_MESSAGE_UNAVAILABLE, "the device stayed silent until the message expired")
            answer = compat.reply(flight.messages[index], expired, f"{name}-reply")
        self._inbox[name] = answer


def _is_train(batch: Sequence[Message]) -> bool:
    return batch[0].metadata.message_type.partition(".")[0] == "train"


def _round_of(message: Message, fallback: int) -> int:
    """Return the round that a message says it belongs to, as Flower's strategies write it into the config."""
    for config in message.content.config_records.values():
        number = config.get("server-round")
        if isinstance(number, int):
            return number
    return fallback
