"""A batch of messages in the air: priced, computed and closed.

launch   price it, and compute only what can begin its upload
land     once computed: price the real uploads, decide who arrived in time
book     charge the devices and write the ledger (`fleet.booking`)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet import booking, demands, timeline
from fedlite.fleet.outcomes import NOT_AWAITED, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flwr.app import Message

    from fedlite.fleet.state import Fleet
    from fedlite.flower.exchange import Exchange

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_NOT_AWAITED = [outcome.code for outcome in NOT_AWAITED]
_HEARD = [outcome.code for outcome in (Outcome.DIVERGED, Outcome.ABANDONED)]
"""Ends of jobs, beside arriving, of which the server knows."""


@dataclass(frozen=True)
class Closing:
    """When the server stops waiting: after `patience_s`, or after the `first` so many arrivals.

    A round of fewer than `least` arrivals is abandoned, as is one whose arrivals do not suffice.
    """

    patience_s: float = math.inf
    first: int | None = None
    least: int = 0
    suffices: Callable[[Bools], bool] | None = None
    """Tells of the jobs that arrived whether the server can do anything with them."""


@dataclass
class Flight:
    """n jobs under way since `start_s`. `timeline` is final once `landed`."""

    messages: Sequence[Message]
    devices: Ids
    start_s: float
    round_: int
    closing: Closing
    exchange: Exchange
    priced: demands.Priced
    timeline: timeline.Timeline
    uploading: Bools
    """Jobs that finish their training and begin to send, whether the server still waits for them or not."""
    landed: bool = False

    @property
    def arrived(self) -> Bools:
        """Jobs whose reply reached the server in time."""
        arrived: Bools = self.timeline.outcome == Outcome.ARRIVED.code
        return arrived

    @property
    def heard(self) -> Bools:
        """Jobs of which something reached the server in time, be it an update that it had to throw away."""
        heard: Bools = self.arrived | np.isin(self.timeline.outcome, _HEARD)
        return heard

    @property
    def downloaded(self) -> Bools:
        """Jobs whose device has got the whole packet that the server sent."""
        whole: Bools = self.timeline.down_share >= 1.0
        return whole

    @property
    def failed(self) -> Bools:
        """Jobs that ended before their reply was sent, or whose reply is worth nothing."""
        failed: Bools = ~self.arrived & ~self.not_awaited
        return failed

    @property
    def not_awaited(self) -> Bools:
        """Jobs that were done when the server did not wait for them any more."""
        return np.isin(self.timeline.outcome, _NOT_AWAITED)

    @property
    def jobs(self) -> booking.Jobs:
        """The jobs as the ledger knows them; final once `landed`."""
        return booking.Jobs(
            round_=self.round_,
            kind=self.messages[0].metadata.message_type.partition(".")[0],
            devices=self.devices,
            start_s=self.start_s,
            battery_before_j=self.priced.charge_j,
            plugged=self.priced.plugged,
            events=self.timeline,
            links=self.priced.connected.links,
            demands=self.exchange.demands,
            facts=self.exchange.facts,
        )

    @property
    def computed_s(self) -> Floats:
        """When each job has computed (or was stopped earlier), absolute virtual time."""
        return self.start_s + self.timeline.down_s + self.timeline.train_s

    @property
    def end_s(self) -> Floats:
        """When each job ends for its device, absolute virtual time."""
        return self.start_s + self.timeline.total_s


def launch(
    fleet: Fleet,
    exchange: Exchange,
    messages: Sequence[Message],
    devices: Ids,
    now_s: float,
    round_: int,
    closing: Closing,
) -> Flight:
    """Price the jobs and start computing those that matter; their devices are busy from now on."""
    priced = demands.price(fleet, devices, now_s, exchange.demands)
    events = timeline.run(priced.phases)
    # Before the server closes the round: the devices do not know when it does.
    uploading = (events.outcome == Outcome.ARRIVED.code) | (events.up_s > 0)
    closed = _close(events, closing if exchange.final else Closing(closing.patience_s))
    flight = Flight(messages, devices, now_s, round_, closing, exchange, priced, closed, uploading)
    exchange.start(flight.arrived, uploading)
    fleet.reserve(devices)
    return flight


def land(fleet: Fleet, flight: Flight) -> None:
    """Wait for the computation, then settle every job's outcome with the bytes that were really encoded."""
    if flight.landed:
        return
    flight.exchange.finish()
    if not flight.exchange.final:
        encoded = flight.exchange.demands
        flight.priced = demands.price_uploads(fleet, flight.priced, encoded, flight.uploading)
        settled = timeline.run(flight.priced.phases)
        # Who never began to send ended as it did, whatever others' uploads weigh.
        settled.outcome[~flight.uploading] = flight.timeline.outcome[~flight.uploading]
        flight.timeline = _close(settled, flight.closing)
    flight.timeline.outcome[(flight.exchange.facts.reason != "") & flight.arrived] = Outcome.CLIENT_ERROR.code
    flight.timeline.outcome[flight.exchange.facts.diverged & flight.arrived] = Outcome.DIVERGED.code
    closing = flight.closing
    if flight.arrived.sum() < closing.least or (closing.suffices is not None and not closing.suffices(flight.arrived)):
        flight.timeline.outcome[flight.arrived] = Outcome.ABANDONED.code
    flight.exchange.settle(flight.arrived, flight.downloaded)
    flight.landed = True


def give_up(flight: Flight, index: Ids, why: Outcome) -> None:
    """Mark jobs that nobody waits for any more, by what ended the waiting: an outcome of `NOT_AWAITED`."""
    done = index[(flight.arrived | flight.not_awaited)[index]]
    flight.timeline.outcome[done] = why.code


def _close(events: timeline.Timeline, closing: Closing) -> timeline.Timeline:
    """Mark arrivals after the round's end by what ended it; ties go to the earlier message.

    A round that had enough replies would have ended then whatever its deadline, so that none of its jobs is late.
    """
    total_s, outcome = events.total_s, events.outcome
    arrived = np.flatnonzero(outcome == Outcome.ARRIVED.code)
    order = arrived[np.argsort(total_s[arrived], kind="stable")]
    in_time = int((total_s[order] <= closing.patience_s).sum())
    if closing.first is not None and in_time >= closing.first:
        outcome[order[closing.first :]] = Outcome.SURPLUS.code
    else:
        outcome[order[in_time:]] = Outcome.LATE.code
    return events
