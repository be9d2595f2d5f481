"""Daily habits: every device has its own nights, charging, home Wi-Fi and moments of use, day after day a little other.

Everything is drawn by hashing (seed, purpose, device, day or slot), so the state of a device at a time is a pure
function. All boundaries lie on whole seconds, where float64 is exact: what `ends_s` says is what `plugged` does.

References
----------
Bonawitz et al. 2019, "Towards Federated Learning at Scale: System Design", section 9: four times as many devices
at night as by day, 6 to 10 % of participants drop out, more of them by day, because devices stop being eligible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedlite import rng
from fedlite.errors import FedliteError
from fedlite.simulation.conditions import Bools, Condition, Ids, Timeline, Times
from fedlite.units import DAY_S, HOUR_S

Slots = NDArray[np.int64]
Interval = tuple[Times, Times]

MIDNIGHT_S: Final = 0.0
NOON_S: Final = 0.5 * DAY_S

_SHARES: Final = (
    "overnight_share", "topup_share", "docked_share", "daytime_wifi_share",
    "use_by_day", "use_by_night", "wifi_drop", "unplug",
)  # fmt: skip
_SPELLS: Final = ("use_by_day_s", "use_by_night_s", "wifi_drop_s", "unplug_s")


@dataclass(frozen=True)
class DiurnalHabits:
    """How a population lives. Clock times in hours of local time; spreads are standard deviations over devices.

    The defaults are calibrated, not measured: chosen so that phones under the charging + unmetered + idle rule show
    the four-fold swing over 24 hours and the 6 to 10 % drop-out of jobs of two to three minutes that Bonawitz et al.
    2019 (section 9) report. Single values are plausible habits and carry no other claim.
    """

    time_zones_h: tuple[float, ...] = (0.0,)
    """Offsets from UTC; each device lives in one of them, all equally likely."""
    bed_h: float = 23.25
    """Habitual bed time."""
    sleep_h: float = 7.75
    """Habitual length of the night."""
    habit_sd_h: float = 1.25
    """Spread of bed time, length of the night, leaving and coming home between devices."""
    jitter_sd_h: float = 0.4
    """Spread of the same from day to day."""
    overnight_share: float = 0.58
    """Nights on which a device is plugged in while its owner sleeps."""
    topup_share: float = 0.7
    """Days on which a device is charged once more by day."""
    topup_from_h: float = 7.0
    """Earliest begin of that charge."""
    topup_until_h: float = 21.0
    """Latest begin of that charge."""
    topup_max_h: float = 3.0
    """It lasts between half an hour and this."""
    docked_share: float = 0.11
    """Devices that never leave charger and Wi-Fi: tablets, desk phones, spare phones."""
    home_from_h: float = 18.0
    """Coming home to Wi-Fi."""
    home_until_h: float = 8.5
    """Leaving it."""
    daytime_wifi_share: float = 0.55
    """Days with unmetered Wi-Fi all day (at home, office, school)."""
    use_by_day: float = 0.29
    """Probability that a device is picked up in a slot while its owner is awake."""
    use_by_day_s: float = 150.0
    """For how long."""
    use_by_night: float = 0.16
    """The same while its owner sleeps: stands for every short cause of drop-out at night."""
    use_by_night_s: float = 60.0
    wifi_drop: float = 0.02
    """Probability that the Wi-Fi is lost in a slot."""
    wifi_drop_s: float = 45.0
    unplug: float = 0.01
    """Probability that a charging device is unplugged for a moment in a slot."""
    unplug_s: float = 120.0
    slot_s: float = 600.0
    """Length of the slots in which short interruptions are drawn."""
    horizon_s: float = 28 * DAY_S
    """Changes further ahead than this count as never."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise FedliteError(f"{name}: got {getattr(self, name)!r}, expected a share; write one between 0 and 1")
        for name in _SPELLS:
            value = getattr(self, name)
            if not (0.0 < value < self.slot_s and value == round(value)):
                raise FedliteError(
                    f"{name}: got {value!r}, expected whole seconds; write at least 1, below slot_s = {self.slot_s:g}"
                )
        if self.slot_s != round(self.slot_s):
            raise FedliteError(f"slot_s: got {self.slot_s!r}, expected whole seconds; round it")
        if not self.time_zones_h:
            raise FedliteError("time_zones_h: got no offset, expected at least one; write (0.0,) for UTC")


class Diurnal(Timeline):
    """Phones and watches of people with daily habits; time 0 is midnight UTC."""

    def __init__(self, seed: int, habits: DiurnalHabits | None = None) -> None:
        self.seed = seed
        self.habits = habits or DiurnalHabits()
        self.horizon_s = self.habits.horizon_s

    # -- one condition -------------------------------------------------------------------------------------------

    def holds(self, condition: Condition, ids: Ids, t_s: Times) -> Bools:
        """Return whether the condition holds: inside one of its windows and not interrupted."""
        result = self._inside(condition, ids, t_s)
        open_ = np.flatnonzero(result)
        begin, end = self._interruption(condition, ids[open_], self._slot(t_s[open_]))
        result[open_] = (t_s[open_] < begin) | (t_s[open_] >= end)
        return result

    def run_end(self, condition: Condition, ids: Ids, t_s: Times, limit_s: Times) -> Times:
        """Return the end of the window or the begin of the next interruption, whichever is first."""
        limit = np.minimum(limit_s, t_s + self.horizon_s)
        end = self._windows_end(condition, ids, t_s, limit)
        cap = np.minimum(end, limit)
        slot, open_ = self._slot(t_s), np.arange(len(ids))
        while len(open_) and self._interrupts(condition):
            begin, _ = self._interruption(condition, ids[open_], slot[open_])
            found = (begin >= t_s[open_]) & (begin < cap[open_])
            end[open_[found]] = begin[found]
            slot[open_] += 1
            open_ = open_[~found & (slot[open_] * self.habits.slot_s < cap[open_])]
        return end

    def next_on(self, condition: Condition, ids: Ids, t_s: Times) -> Times:
        """Return the next time inside a window and outside interruptions."""
        start = self._next_window(condition, ids, t_s)
        open_ = np.flatnonzero(np.isfinite(start))
        while len(open_):
            begin, end = self._interruption(condition, ids[open_], self._slot(start[open_]))
            hit = (start[open_] >= begin) & (start[open_] < end)
            open_ = open_[hit]
            start[open_] = self._next_window(condition, ids[open_], end[hit])
            open_ = open_[np.isfinite(start[open_])]
        return start

    # -- windows: long spells, one per family and day --------------------------------------------------------------

    def _families(self, condition: Condition) -> tuple[tuple[float, str], ...]:
        """Return (begin of its day, name) of every family of windows; a family has at most one window per day."""
        families: dict[Condition, tuple[tuple[float, str], ...]] = {
            "plugged": ((NOON_S, "overnight"), (MIDNIGHT_S, "topup")),
            "unmetered": ((NOON_S, "home"), (MIDNIGHT_S, "daytime")),
            "idle": (),
        }
        return families[condition]

    def _happens(self, family: str, ids: Ids, day: Slots) -> Bools:
        """Return whether the family has a window on a device's local day."""
        h = self.habits
        if family == "overnight":
            return np.asarray(self._uniform("overnight", ids, day) < h.overnight_share)
        if family == "topup":
            return np.asarray(self._uniform("topup today", ids, day) < h.topup_share)
        if family == "daytime":
            liking = 2.0 * h.daytime_wifi_share * self._uniform("daytime habit", ids)
            return np.asarray(self._uniform("daytime", ids, day) < liking)
        return np.ones(len(ids), dtype=np.bool_)

    def _span(self, family: str, ids: Ids, day: Slots) -> Interval:
        """Return begin and end of the window that the family has, if it has one, in local seconds."""
        h = self.habits
        midnight = np.asarray(day * DAY_S, dtype=np.float64)
        if family == "overnight":
            return self._night(ids, day, "charge")
        if family == "topup":
            when, length = _pair(self._uniform("topup", ids, day))
            begin = midnight + np.rint((h.topup_from_h + when * (h.topup_until_h - h.topup_from_h)) * HOUR_S)
            return begin, np.minimum(begin + np.rint((0.5 + length * (h.topup_max_h - 0.5)) * HOUR_S), midnight + DAY_S)
        if family == "daytime":
            return midnight, midnight + DAY_S
        early, late = _pair(self._uniform("home", ids))
        jitter, other = _pair(self._uniform("home day", ids, day))
        return _within(
            day,
            _bell(early, h.home_from_h, h.habit_sd_h) + _bell(jitter, 0.0, h.jitter_sd_h),
            _bell(late, h.home_until_h + 24.0, h.habit_sd_h) + _bell(other, 0.0, h.jitter_sd_h),
        )

    def _window(self, family: str, ids: Ids, day: Slots) -> Interval:
        """Return begin and end of the family's window on a local day, in local seconds; empty if begin == end."""
        begin, end = self._span(family, ids, day)
        return begin, np.where(self._happens(family, ids, day), end, begin)

    def _night(self, ids: Ids, day: Slots, purpose: str) -> Interval:
        """Return the night that follows noon of a device's local day."""
        h = self.habits
        bed, length = _pair(self._uniform("night", ids))
        jitter, other = _pair(self._uniform(f"night {purpose}", ids, day))
        begin = _bell(bed, h.bed_h, h.habit_sd_h) + _bell(jitter, 0.0, h.jitter_sd_h)
        hours = np.maximum(0.5, _bell(length, h.sleep_h, h.habit_sd_h)) + _bell(other, 0.0, h.jitter_sd_h)
        return _within(day, begin, begin + hours)

    def _day(self, anchor: float, ids: Ids, t_s: Times) -> tuple[Slots, Times]:
        """Return the number of the local day, begun at `anchor`, that holds `t_s`, and local less UTC time."""
        shift = self._zone(ids)
        return np.floor((t_s + shift - anchor) / DAY_S).astype(np.int64), shift

    def _inside(self, condition: Condition, ids: Ids, t_s: Times) -> Bools:
        families = self._families(condition)
        if not families:
            return np.ones(len(ids), dtype=np.bool_)
        result = self._docked(ids)
        shift = self._zone(ids)
        for anchor, family in families:
            open_ = np.flatnonzero(~result)
            day = np.floor((t_s[open_] + shift[open_] - anchor) / DAY_S).astype(np.int64)
            happens = np.flatnonzero(self._happens(family, ids[open_], day))  # its place is asked only if it exists
            open_, day = open_[happens], day[happens]
            begin, end = self._span(family, ids[open_], day)
            result[open_] = (begin - shift[open_] <= t_s[open_]) & (t_s[open_] < end - shift[open_])
        return result

    def _windows_end(self, condition: Condition, ids: Ids, t_s: Times, limit_s: Times) -> Times:
        """Return the end of the union of windows that covers `t_s`; inf for devices without windows."""
        families = self._families(condition)
        end = np.where(self._docked(ids), np.inf, t_s) if families else np.full(len(ids), np.inf)
        open_ = np.flatnonzero(end < limit_s)
        while len(open_):
            before = end[open_]
            after = before.copy()
            for anchor, family in families:
                day, shift = self._day(anchor, ids[open_], after)
                begin, close = self._window(family, ids[open_], day)
                after = np.where((begin - shift <= after) & (after < close - shift), close - shift, after)
            end[open_] = after
            open_ = open_[(after > before) & (after < limit_s[open_])]
        return end

    def _next_window(self, condition: Condition, ids: Ids, t_s: Times) -> Times:
        """Return the earliest time from `t_s` on inside a window, inf if none comes within the horizon."""
        start = np.array(t_s, dtype=np.float64)
        open_ = np.flatnonzero(~self._inside(condition, ids, start))
        if not len(open_):
            return start
        ids, t_s = ids[open_], t_s[open_]
        start[open_] = np.min(
            [self._next_of(anchor, name, ids, t_s) for anchor, name in self._families(condition)], axis=0
        )
        return start

    def _next_of(self, anchor: float, family: str, ids: Ids, t_s: Times) -> Times:
        day, shift = self._day(anchor, ids, t_s)
        start = np.full(len(ids), np.inf)
        open_ = np.arange(len(ids))
        for _ in range(int(self.horizon_s / DAY_S) + 2):
            begin, end = self._window(family, ids[open_], day[open_])
            begin, end = begin - shift[open_], end - shift[open_]
            found = (end > begin) & (begin >= t_s[open_])
            start[open_[found]] = begin[found]
            open_ = open_[~found]
            if not len(open_):
                break
            day[open_] += 1
        return start

    # -- interruptions: short, at most one per slot ---------------------------------------------------------------

    def _interrupts(self, condition: Condition) -> bool:
        h = self.habits
        return {"plugged": h.unplug, "unmetered": h.wifi_drop, "idle": max(h.use_by_day, h.use_by_night)}[condition] > 0

    def _interruption(self, condition: Condition, ids: Ids, slot: Slots) -> Interval:
        """Return begin and end of the interruption in each device's slot, both inf if there is none."""
        h = self.habits
        happens, when = _pair(self._uniform(f"interruption {condition}", ids, slot))
        slot_s = np.asarray(slot * h.slot_s, dtype=np.float64)
        if condition != "idle":
            chance, length = (h.unplug, h.unplug_s) if condition == "plugged" else (h.wifi_drop, h.wifi_drop_s)
            begin = slot_s + np.floor(when * (h.slot_s - length + 1.0))
            begin = np.where(happens < chance, begin, np.inf)
            return begin, begin + length
        begin, end = np.full(len(ids), np.inf), np.full(len(ids), np.inf)
        maybe = np.flatnonzero(happens < max(h.use_by_day, h.use_by_night))  # looking up nights is what costs time
        asleep = self._asleep(ids[maybe], slot_s[maybe] + 0.5 * h.slot_s)
        lengths = np.where(asleep, h.use_by_night_s, h.use_by_day_s)
        chances = np.where(asleep, h.use_by_night, h.use_by_day)
        begins = slot_s[maybe] + np.floor(when[maybe] * (h.slot_s - lengths + 1.0))
        begin[maybe] = np.where(happens[maybe] < chances, begins, np.inf)
        end[maybe] = begin[maybe] + lengths
        return begin, end

    def _asleep(self, ids: Ids, t_s: Times) -> Bools:
        day, shift = self._day(NOON_S, ids, t_s)
        begin, end = self._night(ids, day, "sleep")
        return (begin <= t_s + shift) & (t_s + shift < end)

    # -- draws -----------------------------------------------------------------------------------------------------

    def _uniform(self, purpose: str, ids: Ids, counter: Slots | int = 0) -> Times:
        return rng.uniform(self.seed, f"diurnal {purpose}", ids, counter)

    def _docked(self, ids: Ids) -> Bools:
        return np.asarray(self._uniform("docked", ids) < self.habits.docked_share)

    def _zone(self, ids: Ids) -> Times:
        zones = np.rint(np.asarray(self.habits.time_zones_h) * HOUR_S)
        if len(zones) == 1:
            return np.broadcast_to(zones, ids.shape)
        return zones[(self._uniform("zone", ids) * len(zones)).astype(np.int64)]

    def _slot(self, t_s: Times) -> Slots:
        return np.floor(t_s / self.habits.slot_s).astype(np.int64)


def _pair(u: Times) -> tuple[Times, Times]:
    """Return two independent uniforms from the upper 26 and lower 27 bits of one: hashing is what costs time here."""
    scaled = u * 2.0**26
    upper = np.floor(scaled)
    return upper * 2.0**-26, scaled - upper


def _bell(u: Times, mean: float, sd: float) -> Times:
    """Return the logistic distribution's quantile: a bell curve whose quantile costs one logarithm, within 4.6 sd."""
    u = np.clip(u, 2.5e-4, 1.0 - 2.5e-4)
    return np.asarray(mean + sd * (np.sqrt(3.0) / np.pi) * np.log(u / (1.0 - u)))


def _within(day: Slots, begin_h: Times, end_h: Times) -> Interval:
    """Return a window given in hours since midnight, kept from noon of `day` to the next, on whole seconds."""
    begin = np.rint(np.clip(begin_h, 12.0, 36.0) * HOUR_S)
    end = np.maximum(begin, np.rint(np.clip(end_h, 12.0, 36.0) * HOUR_S))
    midnight = np.asarray(day * DAY_S, dtype=np.float64)
    return midnight + begin, midnight + end
