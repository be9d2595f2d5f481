"""FleetGrid: the simulated fleet as a Flower Grid, in virtual time.

Any ServerApp and any Strategy runs on it unmodified. `send_and_receive` moves a virtual clock, `timeout` is virtual
seconds, and `push_messages`/`pull_messages` deliver replies when they arrive in virtual time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedlite.errors import FedliteError, FleetExhaustedError
from fedlite.fleet.booking import book
from fedlite.flower import compat
from fedlite.flower.flight import Closing, Flight, land, launch
from fedlite.flower.post import DEFAULT_TTL_S, FIRST_NODE_ID, Post, devices_of
from fedlite.flower.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.flower.exchange import Runtime
    from fedlite.simulation.clock import Clock

POLLS_BEFORE_WAITING = 16
"""Strategies count nodes a few times per round; an app that asks more often without sending waits for nodes."""


@dataclass(frozen=True)
class RoundPolicy:
    """When a synchronous training round closes, and how a failing device shows.

    `first` closes the round after that many arrivals (over-selection, semi-synchronous rounds); `deadline_s` shortens
    the timeout that the server app gives. With `failures="error"` the server hears of a failure when it happens; with
    "missing" the device stays silent and the server waits for its deadline. With `asks_busy` devices at work count as
    nodes, as they do for Flower, and a message to one waits there for its turn. A training round that brings fewer
    replies than a share `least_share` of those wanted is abandoned; after one the server takes `server_time_s`.
    """

    first: int | None = None
    deadline_s: float = math.inf
    failures: str = "error"
    asks_busy: bool = False
    least_share: float = 0.0
    server_time_s: float = 0.0

    def closing(self, timeout_s: float, asked: int, *, trains: bool) -> Closing:
        """Return when a round of so many messages closes."""
        patience_s = min(timeout_s, self.deadline_s)
        if not trains:
            return Closing(patience_s)
        wanted = min(asked, self.first or asked)
        # Rounding first keeps 80 % of 10 at 8.
        return Closing(patience_s, self.first, math.ceil(round(self.least_share * wanted, 9)))


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
        self._post = Post(
            fleet, runtime, ledger, failures=self.policy.failures, start_s=start_s, moved=self._forget_nodes
        )
        self.eligible = 0
        """Devices that could be asked when nodes were last counted."""
        self.run_id = run_id
        self.on_exchange: Callable[[str, int | None], int] | None = None
        """Called before messages leave, with their kind and the round that they name; returns their round."""
        self._runtime = runtime
        self._sent = 0
        self._exchanges = 0
        self._known: list[int] | None = None
        self._last_nodes: list[int] = []
        self._polls = 0
        self._starving_since_s: float | None = None
        check_ins = fleet.check_ins
        self._selection = (
            Selection(check_ins, fleet.seed) if check_ins is not None and check_ins.protocol.selection.rounds else None
        )
        self._round_began_s = start_s
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
        the next change in who is eligible. Where devices check in, asking begins a selection, and the answer is its
        cohort, at the time when it was complete.
        """
        if self._polls >= POLLS_BEFORE_WAITING and self._look() == self._last_nodes:
            self.wait()
        while not (nodes := self._look()) and self._selection is not None:
            self.wait()
        # Only an app that hears the same again and again waits in vain: what is new to it may be what it waits for.
        self._polls = self._polls + 1 if nodes == self._last_nodes else 1
        self._last_nodes = nodes
        return list(nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages now; their replies arrive in virtual time and wait for `pull_messages`."""
        batch = list(messages)
        if not batch:
            return []
        round_ = self._announce(batch, devices_of(batch))
        self._post.push(batch, round_)
        self._forget_nodes()
        return [message.metadata.message_id for message in batch]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there; if none is, move the clock on to the next arrival and return that.

        Returns an empty list only if none of the messages is under way.
        """
        return self._post.pull(list(message_ids))

    def pull_or_meet(self, message_ids: Iterable[str]) -> list[Message]:
        """Return what `pull_messages` does, or nothing as soon as another device checks in."""
        check_ins = self.fleet.check_ins
        until_s = math.inf if check_ins is None else check_ins.next_arrival_s(self.now_s)
        return self._post.pull(list(message_ids), until_s)

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,
        suffices: Callable[[NDArray[np.bool_]], bool] | None = None,
    ) -> list[Message]:
        """Send messages, move the clock to the end of the round, and return the replies in the order of the messages.

        Parameters
        ----------
        messages : iterable of Message
            To a node that is busy, or one of several to one node: it waits there for its turn.
        timeout : float, optional
            Virtual seconds after which the round closes, whoever is missing.
        suffices : callable, optional
            Tells of the messages whose replies came whether anything can be done with these; else they are abandoned.
        """
        batch = list(messages)
        if not batch:
            return []
        trains = _kind(batch) == "train"
        closing = self.policy.closing(math.inf if timeout is None else float(timeout), len(batch), trains=trains)
        closing = replace(closing, suffices=suffices)
        devices = devices_of(batch)
        round_ = self._announce(batch, devices)
        self._post.leave()
        if not self._post.can_leave(devices).all():
            answers = self._post.send_in_turns(batch, round_, closing)
            self._take_time(trains=trains)
            return answers
        exchange = self._runtime.open(batch, devices, self.now_s)
        flight = launch(self.fleet, exchange, batch, devices, self.now_s, round_, closing)
        land(self.fleet, flight)
        book(self.fleet, self.ledger, flight.jobs)
        self._post.pass_until(self._round_end_s(flight))
        self._take_time(trains=trains)
        replies = flight.exchange.replies(flight.arrived)
        heard = [
            self._post.answer(flight, index, reply)
            for index, (reply, failed) in enumerate(zip(replies, flight.failed.tolist(), strict=True))
            if failed or reply is not None
        ]
        return [answer for answer in heard if answer is not None]

    # -- what a run calls ---------------------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock[Any]:
        """Virtual time, and what comes."""
        return self._post.clock

    @property
    def now_s(self) -> float:
        """Virtual time, seconds."""
        return self.clock.now_s

    def wait(self) -> None:
        """Move the clock to the next change in who is eligible.

        Raises
        ------
        FleetExhaustedError
            If nobody can ever become eligible, or too few were for a month of virtual time.
        """
        now_s, self._polls = self.clock.now_s, 0
        if self._starving_since_s is None:
            self._starving_since_s = now_s
        in_vain = self._selection is not None and not self._selection.possible
        if in_vain or now_s - self._starving_since_s > self.fleet.patience_s:
            raise FleetExhaustedError(self.fleet.why_starved(now_s))
        self._post.leave()
        until_s = math.inf if self._selection is None else self._selection.next_look_s(now_s)
        until_s = until_s if until_s < math.inf else self.fleet.next_change_s(now_s)
        if self.fleet.check_ins is not None and until_s - self._starving_since_s > self.fleet.patience_s:
            raise FleetExhaustedError(self.fleet.why_starved(now_s))
        self._post.pass_until(until_s)

    def sleep(self, duration_s: float) -> None:
        """Let virtual time pass, for server apps that sleep; replies that come meanwhile wait for `pull_messages`."""
        self._post.pass_until(self.now_s + max(0.0, duration_s))

    def finish(self) -> None:
        """Book the pushed messages that are under way when the server stops: nobody hears their replies any more."""
        self._post.finish()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _look(self) -> list[int]:
        """Return the nodes that may be asked now."""
        if self._known is None:
            free = self.fleet.eligible(self.now_s)
            free = free[~self._post.busy(free)]
            self.eligible = len(free)
            if self._selection is not None:
                free = self._selection.cohort(self.now_s)
            elif self.policy.asks_busy:
                at_work = np.flatnonzero(self._post.busy(self.fleet.ids) & ~self.fleet.excluded)
                free = np.union1d(free, at_work)
            self._known = (free + FIRST_NODE_ID).tolist()
        return self._known

    def _forget_nodes(self) -> None:
        """Count anew who may be asked, next time."""
        self._known = None

    def _announce(self, batch: Sequence[Message], devices: NDArray[np.int64]) -> int:
        """Give the messages of a batch their ids, and return the round that they are part of."""
        self._polls, self._known, self._starving_since_s = 0, None, None
        self._exchanges += 1
        self._round_began_s = self.now_s
        if self._selection is not None:
            self._selection.use()
        for message in batch:
            self._sent += 1
            compat.set_ids(message, f"{self.run_id}-{self._sent}", self.run_id)
        self._check_nodes(devices)
        named = _round_of(batch[0])
        if self.on_exchange is not None:
            return self.on_exchange(_kind(batch), named)
        return self._exchanges if named is None else named

    def _take_time(self, *, trains: bool) -> None:
        """Let the server do what it does once a training round has closed."""
        if not trains:
            return
        self._post.pass_until(self.now_s + self.policy.server_time_s)
        if self.fleet.check_ins is not None:
            self.fleet.check_ins.pace.note_round(self.now_s - self._round_began_s)

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
        if (flight.not_awaited | (~heard & (self.policy.failures == "missing"))).any():
            return flight.start_s + min(closing.patience_s, DEFAULT_TTL_S)
        return float(flight.end_s.max())


def _kind(batch: Sequence[Message]) -> str:
    return batch[0].metadata.message_type.partition(".")[0]


def _round_of(message: Message) -> int | None:
    """Return the round that a message names: in its config, as strategies do, or as its group, as older servers do."""
    for record in message.content.values():
        number = record.get("server-round") if isinstance(record, ConfigRecord) else None
        if isinstance(number, int):
            return number
    group = str(message.metadata.group_id)
    return int(group) if group.isdecimal() else None
