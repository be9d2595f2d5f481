"""From being let in to running the new model: asking, waiting, downloading, trying again, installing.

Priced on the fleet's own links and radios. A download that loses its conditions, or fails, begins anew at the next
attempt; what had crossed until then is paid for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.starts import starts_s
from fedlite.rng import uniform
from fedlite.rollout.states import State
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet
    from fedlite.rollout.charges import Charges

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_RUNS = (State.UPDATED.code, State.LEFT_UPDATED.code)
_LOOKS = 64
"""How often conditions, hours and charge are asked in turn until all hold at once; they hardly ever need ten."""


@dataclass(frozen=True)
class Policy:
    """Under which conditions devices download, and how often they try.

    Attributes
    ----------
    conditions : frozenset of str
        "plugged", "unmetered", "idle": all must hold from begin to end.
    min_battery : float
        Share of the charge without which no download begins.
    most_metered_bytes : float
        Larger downloads wait for an unmetered network.
    hours : tuple of float or None
        From when to when in the fleet's day, seconds; over midnight if the second is the smaller one.
    jitter_s : float
        A download begins at a time drawn from so long after it could, if the hours leave it so long.
    attempts : int
    retry_s : float
        From a failed attempt until the next one is due.
    timeout_s : float
        After so long from asking, jitter not counted, no attempt begins any more.
    in_progress_s : float
        So long after its first attempt began a device has given up: none begins any more, one under way breaks off.
    failure : float
        Chance that an attempt fails on the way whatever the conditions.
    flash_bps : float
        Rate at which the artefact is written, bit/s.
    """

    conditions: frozenset[str] = frozenset()
    min_battery: float = 0.0
    most_metered_bytes: float = np.inf
    hours: tuple[float, float] | None = None
    jitter_s: float = 0.0
    attempts: int = 4
    retry_s: float = 900.0
    timeout_s: float = np.inf
    in_progress_s: float = np.inf
    failure: float = 0.0
    flash_bps: float = np.inf


@dataclass
class Delivery:
    """What became of n devices that were let in. Arrays have shape (n,).

    `begun_s` is when the first byte was asked for, infinity if never; `done_s` when the install ended, well or not,
    infinity if it did not. `state` holds codes of `State`: `UPDATED` for whatever was installed.
    """

    state: NDArray[np.int64]
    begun_s: Floats
    last_begun_s: Floats
    """Of the last attempt."""
    arrived_s: Floats
    done_s: Floats
    attempts: NDArray[np.int64]
    metered_bytes: Floats
    unmetered_bytes: Floats
    radio_j: Floats
    rate_bps: Floats
    """Of the attempt that got through."""
    stands_by_s: Floats
    """When a device that is held out would have begun to run it: since then it stands beside those that do."""

    @classmethod
    def none(cls, n: int) -> Delivery:
        """Return the deliveries of n devices that nothing was offered to."""
        never, zero = np.full(n, np.inf), np.zeros(n)
        state = np.full(n, State.NOT_REACHED.code)
        whole = np.zeros(n, dtype=np.int64)
        begun, last, arrived, done, by = (never.copy() for _ in range(5))
        metered, unmetered, radio, rate = (zero.copy() for _ in range(4))
        return cls(state, begun, last, arrived, done, whole, metered, unmetered, radio, rate, by)

    @property
    def runs_s(self) -> Floats:
        """When each device began to run what it was offered, infinity if it does not."""
        return np.where(np.isin(self.state, _RUNS), self.done_s, np.inf)

    def first(self, count: int) -> Delivery:
        """Return the first so many of them."""
        return Delivery(*(getattr(self, field.name)[:count] for field in fields(self)))

    def put(self, devices: Ids, part: Delivery) -> None:
        """Note what became of some devices."""
        for field in fields(self):
            getattr(self, field.name)[devices] = getattr(part, field.name)


@dataclass(frozen=True)
class Offer:
    """What is offered to n devices: the bytes of each, from when on, and until when each of them is there."""

    devices: Ids
    asks_s: Floats
    payload_bytes: Floats
    slop_s: Floats
    leaves_s: Floats


@dataclass(frozen=True)
class Courier:
    """Carries artefacts to the devices of a fleet under a policy.

    `seed` and `replication` name the streams; `charges` is needed where the policy asks for a charge.
    """

    fleet: Fleet
    policy: Policy
    seed: int
    replication: int
    horizon_s: float
    charges: Charges | None = None

    def deliver(self, offer: Offer, errand: int = 0) -> Delivery:
        """Return what becomes of an offer; `errand` tells several offers to the same device apart."""
        done = Delivery.none(len(offer.devices))
        done.state[:] = np.where(np.isfinite(offer.asks_s), State.UNDER_WAY.code, State.OFFLINE.code)
        open_ = np.flatnonzero(np.isfinite(offer.asks_s))
        wanted_s = self._spread_s(offer, open_)
        for attempt in range(self.policy.attempts):
            if not open_.size:
                break
            open_, wanted_s[:] = self._attempt(offer, done, open_, wanted_s, errand * self.policy.attempts + attempt)
        done.state[open_] = State.DOWNLOAD_FAILED.code
        return done

    def _spread_s(self, offer: Offer, open_: Ids) -> Floats:
        """Return when devices want to begin: not all as soon as they could, which is when their conditions hold."""
        wanted_s = offer.asks_s.copy()
        if self.policy.jitter_s:
            devices = offer.devices[open_]
            could_s = self._begins_s(devices, wanted_s[open_], offer.payload_bytes[open_], offer.slop_s[open_])
            can = np.flatnonzero(could_s < self.horizon_s)
            chance = uniform(self.seed, "rollout jitter", devices[can], self.replication)
            could_s[can] += chance * np.minimum(self.policy.jitter_s, self._hours_left_s(could_s[can]))
            wanted_s[open_] = could_s
        return wanted_s

    def _attempt(self, offer: Offer, done: Delivery, open_: Ids, wanted_s: Floats, number: int) -> tuple[Ids, Floats]:
        """Let devices at `open_` try once; return those that failed on the way, and when they try again."""
        devices, payload = offer.devices[open_], offer.payload_bytes[open_]
        begin_s = self._begins_s(devices, wanted_s[open_], payload, offer.slop_s[open_])
        late = begin_s > offer.asks_s[open_] + self.policy.jitter_s + self.policy.timeout_s
        tried = done.attempts[open_] > 0
        state = np.where(late, np.where(tried, State.DOWNLOAD_FAILED.code, State.POLICY.code), State.UPDATED.code)
        state[~late & (begin_s >= self.horizon_s)] = State.UNDER_WAY.code
        state[begin_s >= offer.leaves_s[open_]] = State.LEFT.code
        state[~np.isfinite(begin_s)] = State.POLICY.code
        until_s = done.begun_s[open_] + self.policy.in_progress_s
        gave_up = (begin_s >= until_s) & (until_s < np.minimum(self.horizon_s, offer.leaves_s[open_]))
        state[gave_up] = State.DOWNLOAD_FAILED.code
        done.state[open_] = state
        goes = np.flatnonzero(state == State.UPDATED.code)
        at, devices, payload, begin_s = open_[goes], devices[goes], payload[goes], begin_s[goes]
        got, took_s = self._transfer(done, at, devices, payload, begin_s, number)
        arrived = at[got]
        done.arrived_s[arrived] = begin_s[got] + took_s[got]
        done.done_s[arrived] = done.arrived_s[arrived] + payload[got] * 8.0 / self.policy.flash_bps
        self._cut_off(done, arrived, offer.leaves_s[arrived])
        wanted_s = wanted_s.copy()
        wanted_s[at[~got]] = begin_s[~got] + took_s[~got] + self.policy.retry_s
        return at[~got], wanted_s

    def _cut_off(self, done: Delivery, arrived: Ids, leaves_s: Floats) -> None:
        """Let nothing be installed after the horizon, or on a device that has left."""
        done_s = done.done_s[arrived]
        for ends_s, state in ((leaves_s, State.LEFT), (self.horizon_s, State.UNDER_WAY)):
            late = arrived[done_s >= ends_s]
            done.state[late], done.done_s[late] = state.code, np.inf

    def _transfer(
        self, done: Delivery, at: Ids, devices: Ids, payload: Floats, begin_s: Floats, number: int
    ) -> tuple[Bools, Floats]:
        """Move the bytes of one attempt each; return which got through, and the time that they took."""
        fleet, needed = self.fleet, self._needed(payload)
        home = fleet.presence.on_home_link(devices, begin_s)
        on = fleet.connections.of(devices, home, np.full(len(devices), self._draw(number), dtype=np.int32))
        channels, idle = fleet.connections.channels, np.zeros(len(devices))
        rates = on.rates
        moved = channels.transfers(on.channel_of, payload, rates.down_bps, rates.rtt_s, awake_s=idle, uplink=False)
        done.begun_s[at] = np.minimum(done.begun_s[at], begin_s)
        ends_s = done.begun_s[at] + self.policy.in_progress_s
        for conditions, who in needed:
            if conditions:
                ends_s[who] = np.minimum(ends_s[who], fleet.presence.ends_s(conditions, devices[who], begin_s[who]))
        chance = self._uniform("way", devices, number)
        fails = chance < self.policy.failure
        fails_s = np.full(len(devices), np.inf)
        fails_s[fails] = moved.time_s[fails] * chance[fails] / self.policy.failure
        took_s = np.minimum(np.minimum(moved.time_s, ends_s - begin_s), fails_s)
        got = took_s >= moved.time_s
        share = np.divide(took_s - moved.ramp_s, moved.active_s, out=np.ones(len(got)), where=moved.active_s > 0)
        share = np.clip(share, 0.0, 1.0)
        crossed = payload * share
        done.attempts[at] += 1
        done.last_begun_s[at] = begin_s
        done.metered_bytes[at] += crossed * on.links.metered
        done.unmetered_bytes[at] += crossed * ~on.links.metered
        done.radio_j[at] += moved.ramp_j + moved.active_j * share + moved.tail_j
        done.rate_bps[at] = np.where(got, payload * 8.0 / np.maximum(moved.active_s, 1e-9), 0.0)
        return got, took_s

    def _needed(self, payload: Floats) -> list[tuple[frozenset[str], Ids]]:
        """Return the sets of conditions, and which of the downloads each holds for."""
        large = payload > self.policy.most_metered_bytes
        own = self.policy.conditions
        return [(own, np.flatnonzero(~large)), (own | {"unmetered"}, np.flatnonzero(large))]

    def _begins_s(self, devices: Ids, wanted_s: Floats, payload: Floats, slop_s: Floats) -> Floats:
        """Return when conditions, hours and charge first hold at once, from when on each device wants to begin."""
        begin_s = wanted_s.copy()
        for conditions, who in self._needed(payload):
            open_ = who[begin_s[who] < self.horizon_s]
            for _ in range(_LOOKS):
                if not open_.size:
                    break
                before = begin_s[open_]
                after = starts_s(self.fleet.presence, conditions, devices[open_], before, slop_s[open_])
                after = self._charged_s(devices[open_], self._in_hours(after))
                begin_s[open_] = after
                open_ = open_[(after > before) & (after < self.horizon_s)]
                if self.policy.hours is None and self.charges is None:
                    break
        return begin_s

    def _in_hours(self, when_s: Floats) -> Floats:
        if self.policy.hours is None:
            return when_s
        from_s, until_s = self.policy.hours
        length_s = (until_s - from_s) % DAY_S
        into_s = (when_s - from_s) % DAY_S
        return np.where(into_s < length_s, when_s, when_s + DAY_S - into_s)

    def _hours_left_s(self, when_s: Floats) -> Floats:
        if self.policy.hours is None:
            return np.full(len(when_s), np.inf)
        from_s, until_s = self.policy.hours
        return (until_s - from_s) % DAY_S - (when_s - from_s) % DAY_S

    def _charged_s(self, devices: Ids, when_s: Floats) -> Floats:
        if self.charges is None:
            return when_s
        return self.charges.next_s(devices, when_s, self.policy.min_battery)

    def _draw(self, number: int) -> int:
        return self.replication * 1_000 + number

    def _uniform(self, purpose: str, devices: Ids, number: int) -> Floats:
        return uniform(self.seed, f"rollout {purpose}", devices, self._draw(number))
