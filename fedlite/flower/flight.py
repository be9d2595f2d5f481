"""A batch of messages in the air: priced, computed, closed and booked.

launch   price it, and compute only what can arrive
land     once computed: price the real uploads, decide who arrived in time
book     charge the devices and write the ledger
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet import pricing, timeline
from fedlite.fleet.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import Message

    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.flower.exchange import Exchange

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Closing:
    """When the server stops waiting: after `patience_s`, or after the `first` so many arrivals."""

    patience_s: float = math.inf
    first: int | None = None


@dataclass
class Flight:
    """n jobs under way since `start_s`. `timeline` is final once `landed`."""

    messages: Sequence[Message]
    devices: Ids
    start_s: float
    round_: int
    closing: Closing
    exchange: Exchange
    priced: pricing.Priced
    timeline: timeline.Timeline
    battery_before_j: Floats
    landed: bool = False

    @property
    def arrived(self) -> Bools:
        """Jobs whose reply reached the server in time."""
        arrived: Bools = self.timeline.outcome == Outcome.ARRIVED.code
        return arrived

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
    """Price the jobs and start computing those that can still arrive; their devices are busy from now on."""
    priced = pricing.price(fleet, devices, now_s, exchange.work)
    closed = _close(timeline.run(priced.phases), closing if exchange.final else Closing(closing.patience_s))
    before_j = fleet.charge_at(devices, now_s)
    flight = Flight(messages, devices, now_s, round_, closing, exchange, priced, closed, before_j)
    exchange.start(flight.arrived)
    fleet.reserve(devices)
    return flight


def land(fleet: Fleet, flight: Flight) -> None:
    """Wait for the computation, then settle every job's outcome with the bytes that were really encoded."""
    if flight.landed:
        return
    computed = flight.arrived
    flight.exchange.finish()
    if not flight.exchange.final:
        flight.priced = pricing.price_uploads(fleet, flight.devices, flight.priced, flight.exchange.work, computed)
        settled = timeline.run(flight.priced.phases)
        # Who was given up before computing stays given up: its upload was never encoded.
        settled.outcome[~computed] = flight.timeline.outcome[~computed]
        flight.timeline = _close(settled, flight.closing)
    flight.timeline.outcome[flight.exchange.facts.failed & flight.arrived] = Outcome.CLIENT_ERROR.code
    flight.exchange.settle(flight.arrived)
    flight.landed = True


def give_up(flight: Flight, index: Ids) -> None:
    """Mark jobs that nobody waits for any more."""
    late = index[flight.arrived[index]]
    flight.timeline.outcome[late] = Outcome.LATE.code


def _close(events: timeline.Timeline, closing: Closing) -> timeline.Timeline:
    """Turn arrivals after the round's end into late ones; ties go to the earlier message."""
    total_s, outcome = events.total_s, events.outcome
    arrived = outcome == Outcome.ARRIVED.code
    outcome[arrived & (total_s > closing.patience_s)] = Outcome.LATE.code
    if closing.first is not None:
        standing = np.flatnonzero(outcome == Outcome.ARRIVED.code)
        order = standing[np.argsort(total_s[standing], kind="stable")]
        outcome[order[closing.first :]] = Outcome.LATE.code
    return events


def book(fleet: Fleet, ledger: Ledger, flight: Flight, index: Ids) -> None:
    """Charge the devices of some of the jobs and write their rows."""
    events = flight.timeline.take(index)
    devices = flight.devices[index]
    facts, work = flight.exchange.facts, flight.exchange.work
    access, metered = flight.priced.links.access[index], flight.priced.links.metered[index]
    energy_j = events.compute_j + events.radio_j
    plugged = fleet.plugged(devices, flight.start_s)
    battery_j = np.where(plugged, 0.0, energy_j)
    down_bytes = np.round(work.down_bytes[index] * events.down_share).astype(np.int64)
    up_bytes = np.round(work.up_bytes[index] * events.up_share).astype(np.int64)
    fleet.charge(
        devices,
        flight.start_s,
        until_s=flight.start_s + events.total_s,
        energy_j=energy_j,
        battery_j=battery_j,
        metered_bytes=np.where(metered, down_bytes + up_bytes, 0.0),
    )
    before_j = np.where(fleet.on_mains(devices), np.nan, flight.battery_before_j[index])
    profiles = [fleet.population.profiles[position] for position in fleet.population.profile_of[devices]]
    ledger.append(
        {
            "round": flight.round_,
            "kind": flight.messages[0].metadata.message_type.partition(".")[0],
            "device": devices,
            "profile": [profile.name for profile in profiles],
            "tier": [str(profile.tier) for profile in profiles],
            "plan": facts.plan[index],
            "access": access,
            "outcome": [str(Outcome.of_code(int(code))) for code in events.outcome],
            "start_s": flight.start_s,
            "down_s": events.down_s,
            "train_s": events.train_s,
            "up_s": events.up_s,
            "end_s": flight.start_s + events.total_s,
            "compute_j": events.compute_j,
            "radio_j": events.radio_j,
            "energy_j": energy_j,
            "energy_low_j": events.compute_j * facts.energy_low[index] + events.radio_j,
            "energy_high_j": events.compute_j * facts.energy_high[index] + events.radio_j,
            "battery_j": battery_j,
            "mains_j": energy_j - battery_j,
            "down_bytes": down_bytes,
            "up_bytes": up_bytes,
            "down_raw_bytes": np.round(facts.down_raw_bytes[index] * events.down_share),
            "up_raw_bytes": np.round(facts.up_raw_bytes[index] * events.up_share),
            "metered": metered,
            "peak_bytes": work.peak_bytes[index],
            "battery_before_j": before_j,
            "battery_after_j": before_j - battery_j,
            "examples": np.where(events.train_s > 0, facts.examples[index], 0),
            "steps": np.where(events.train_s > 0, facts.steps[index], 0),
            "loss": np.where(events.outcome == Outcome.ARRIVED.code, facts.loss[index], np.nan),
        }
    )
