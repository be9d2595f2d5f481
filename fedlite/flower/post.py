"""Messages on their way through the fleet, each with an end of its own: pushed, priced, computed, sent, answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Error, Message, RecordDict

from fedlite.fleet.booking import book
from fedlite.fleet.outcomes import NOT_AWAITED, Outcome
from fedlite.flower import compat
from fedlite.flower.flight import Closing, Flight, give_up, land, launch
from fedlite.flower.turns import Turns, Waiting, first_of_each
from fedlite.simulation.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.flower.exchange import Exchange, Runtime

FIRST_NODE_ID = 1024
"""Node id of device 0; ids below stay free for Flower's own (the SuperLink is node 1)."""
DEFAULT_TTL_S = 43_200.0
"""Flower's time to live of a message: how long a server waits for a silent device when it gives no timeout."""


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


@dataclass(frozen=True)
class _Free:
    """A device is free again, and a message waits for it."""

    device: int


@dataclass(frozen=True)
class _Pushed:
    """Messages that left now and whose clients are computing; not priced yet."""

    exchange: Exchange
    messages: Sequence[Message]
    devices: NDArray[np.int64]
    round_: int
    closing: Closing


class Post:
    """Carries messages one by one, in virtual time.

    Parameters
    ----------
    fleet : Fleet
    runtime : Runtime
        What clients compute.
    ledger : Ledger
        Takes one row per device job.
    failures : str
        Whether the server hears of failures: "error" or "missing".
    start_s : float
        Virtual time at which the clock begins.
    moved : callable
        Called whenever the clock may have moved.
    """

    def __init__(
        self,
        fleet: Fleet,
        runtime: Runtime,
        ledger: Ledger,
        *,
        failures: str,
        start_s: float,
        moved: Callable[[], None],
    ) -> None:
        self.clock: Clock[_Due | _Free] = Clock(start_s)
        self._fleet = fleet
        self._runtime = runtime
        self._ledger = ledger
        self._failures = failures
        self._moved = moved
        self._leaving: list[_Pushed] = []
        self._turns = Turns()
        self._unheard: dict[str, Outcome] = {}
        """Messages that nobody waits for any more, and what ended the waiting."""
        self._under_way: dict[str, _Due] = {}
        self._inbox: dict[str, Message] = {}

    def busy(self, devices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which devices no message reaches now, such as those at work, or will not before the clock moves."""
        busy: NDArray[np.bool_] = ~self._fleet.reachable(devices, self.clock.now_s)
        for pushed in self._leaving:
            busy |= np.isin(devices, pushed.devices)
        return busy

    def can_leave(self, devices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which messages of a batch need not wait: the first to each device that is not busy."""
        return first_of_each(devices, self.busy(devices))

    def push(self, batch: Sequence[Message], round_: int, deadline_s: float = math.inf) -> None:
        """Send what can leave now, and let the rest wait for its turn.

        Parameters
        ----------
        batch : sequence of Message
        round_ : int
        deadline_s : float
            Virtual time until which the server waits for replies.
        """
        devices = devices_of(batch)
        now = self.can_leave(devices)
        if now.any():
            leaving = [batch[index] for index in np.flatnonzero(now).tolist()]
            exchange = self._runtime.open(leaving, devices[now], self.clock.now_s)
            closing = Closing(deadline_s - self.clock.now_s)
            self._leaving.append(_Pushed(exchange, leaving, devices[now], round_, closing))
        for index in np.flatnonzero(~now).tolist():
            device = int(devices[index])
            self._turns.add(device, Waiting(batch[index], round_, deadline_s))
            self._call_later(device)

    def pull(self, names: Sequence[str], until_s: float = math.inf) -> list[Message]:
        """Return the replies that are there; if none is, move the clock on to the first that comes, or until then."""
        self.leave()
        while not any(name in self._inbox for name in names) and any(self._expects(name) for name in names):
            if until_s < self.clock.next_time_s():
                self.advance(until_s)
                break
            self.step()
        return self.take(names)

    def take(self, names: Iterable[str]) -> list[Message]:
        """Return the replies that are there, without waiting."""
        return [self._inbox.pop(name) for name in names if name in self._inbox]

    def send_in_turns(self, batch: Sequence[Message], round_: int, closing: Closing) -> list[Message]:
        """Send a batch of which some messages wait for their turn, and return the replies that come in time."""
        end_s = self.clock.now_s + closing.patience_s
        names = [message.metadata.message_id for message in batch]
        answers: dict[str, Message] = {}
        self.push(batch, round_, end_s)
        self.leave()
        while len(answers) < len(batch) and not _enough(answers, closing):
            if self.clock.next_time_s() > end_s:
                self.advance(end_s)
                break
            if not len(self.clock):
                break
            self.step()
            answers |= {answer.metadata.reply_to_message_id: answer for answer in self.take(names)}
        why = Outcome.SURPLUS if _enough(answers, closing) else Outcome.LATE
        self._stop_hearing({name for name in names if name not in answers}, why)
        heard = [answers[name] for name in names if name in answers]
        return [answer for answer in heard if self._failures == "error" or not answer.has_error()]

    def leave(self) -> None:
        """Price what was pushed since the clock last moved: until then nobody asked, and all of it could compute."""
        leaving, self._leaving = self._leaving, []
        now_s = self.clock.now_s
        for pushed in leaving:
            flight = launch(
                self._fleet, pushed.exchange, pushed.messages, pushed.devices, now_s, pushed.round_, pushed.closing
            )
            for index, message in enumerate(pushed.messages):
                self._schedule(float(flight.computed_s[index]), message.metadata.message_id, _Due(flight, index))

    def step(self) -> None:
        """Move the clock to the next event and handle it."""
        _, event = self.clock.pop()
        self.advance(self.clock.now_s)
        if isinstance(event, _Free):
            self._call(event.device)
        else:
            self._handle(event)

    def pass_until(self, until_s: float) -> None:
        """Move the clock, and handle what happens to pushed messages on the way."""
        self.leave()
        while self.clock.next_time_s() <= until_s:
            self.step()
        self.advance(until_s)

    def advance(self, time_s: float) -> None:
        """Move the clock alone."""
        self.clock.advance(time_s)
        self._fleet.advance(self.clock.now_s)
        self._moved()

    def finish(self) -> None:
        """Book what is under way when the server stops: nobody hears the replies any more.

        Devices do not learn that the server stopped, so what was begun is paid for in full.
        """
        self.leave()
        for name, due in self._under_way.items():
            if due.step is _Step.EXPIRED:
                continue
            give_up(due.flight, np.array([due.index]), self._unheard.get(name, Outcome.UNHEARD))
            book(self._fleet, self._ledger, due.flight.jobs.take(np.array([due.index])))
        self._under_way.clear()

    def answer(self, flight: Flight, index: int, reply: RecordDict | Error | None) -> Message | None:
        """Return what the server hears of a job that is over, None if nothing."""
        message = flight.messages[index]
        reply_id = f"{message.metadata.message_id}-reply"
        outcome = Outcome.of_code(int(flight.timeline.outcome[index]))
        # The error of a job that raised is worth telling only if the device lived to send it.
        heard = outcome is Outcome.ARRIVED or (outcome is Outcome.CLIENT_ERROR and self._failures == "error")
        if reply is not None and heard:
            return compat.reply(message, reply, reply_id)
        if outcome in (Outcome.ARRIVED, *NOT_AWAITED) or self._failures == "missing":
            return None
        return compat.reply(message, Error(compat.ERROR_NODE_UNAVAILABLE, f"{outcome}: {outcome.advice}"), reply_id)

    def _expects(self, name: str) -> bool:
        """Tell whether the reply to a message may still come."""
        return name in self._under_way or name in self._turns

    def _stop_hearing(self, names: set[str], why: Outcome) -> None:
        self._turns.drop(names)
        self._unheard |= dict.fromkeys(names & self._under_way.keys(), why)

    def _call(self, device: int) -> None:
        """Begin the message whose turn it is on a device that has become free."""
        if not self._turns.waits(device):
            return
        if self.busy(np.array([device])).any():
            self._call_later(device)
            return
        waiting = self._turns.next(device)
        self.push([waiting.message], waiting.round_, waiting.deadline_s)
        self.leave()

    def _call_later(self, device: int) -> None:
        """Begin the message whose turn it is when the device can be reached again, if that is known.

        Who is at work on a pushed message calls when it is done; nobody calls for a round that was closed early.
        """
        free_s = self._fleet.reachable_again_s(device)
        if self.clock.now_s < free_s < math.inf:
            self.clock.schedule(free_s, _Free(device))

    def _schedule(self, time_s: float, message_id: str, due: _Due) -> None:
        self._under_way[message_id] = due
        self.clock.schedule(max(time_s, self.clock.now_s), due)

    def _handle(self, due: _Due) -> None:
        """Handle one event of pushed messages: computed, then uploaded (or failed, or expired in silence)."""
        flight, index = due.flight, due.index
        name = flight.messages[index].metadata.message_id
        if due.step is _Step.COMPUTED:
            land(self._fleet, flight)
            self._schedule(float(flight.end_s[index]), name, _Due(flight, index, _Step.ENDED))
            return
        if due.step is _Step.ENDED:
            self._end(flight, index, name)
            if name not in self._unheard and not flight.heard[index] and self._failures == "missing":
                # The device is free again, but the server hears nothing until the message expires: at the latest when
                # it knows that any device has given up.
                patience_s = min(DEFAULT_TTL_S, self._fleet.job_cap_s)
                self._schedule(flight.start_s + patience_s, name, _Due(flight, index, _Step.EXPIRED))
                return
        del self._under_way[name]
        if name in self._unheard:
            del self._unheard[name]
            return
        only = np.zeros(len(flight.messages), dtype=bool)
        only[index] = flight.arrived[index]
        answer = self.answer(flight, index, flight.exchange.replies(only)[index])
        if answer is None:
            expired = Error(compat.ERROR_MESSAGE_UNAVAILABLE, "the device stayed silent until the message expired")
            answer = compat.reply(flight.messages[index], expired, f"{name}-reply")
        self._inbox[name] = answer

    def _end(self, flight: Flight, index: int, name: str) -> None:
        """Book a job that is over on its device, and begin the next one there."""
        if name in self._unheard:
            give_up(flight, np.array([index]), self._unheard[name])
        book(self._fleet, self._ledger, flight.jobs.take(np.array([index])))
        self._call(int(flight.devices[index]))


def devices_of(batch: Sequence[Message]) -> NDArray[np.int64]:
    """Return the devices that messages go to."""
    return np.array([message.metadata.dst_node_id - FIRST_NODE_ID for message in batch], dtype=np.int64)


def _enough(answers: dict[str, Message], closing: Closing) -> bool:
    """Tell whether a round may be closed, because as many replies are there as it needs."""
    return closing.first is not None and sum(not each.has_error() for each in answers.values()) >= closing.first
