"""From demands to seconds, joules and refusals, each device against the same arithmetic done for it alone."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from fedlite import pricing
from fedlite.compression.plan import Plan
from fedlite.devices import channels, memory, network
from fedlite.devices.prediction import predict
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.fleet import population
from fedlite.fleet.demands import Demands, price, price_uploads
from fedlite.fleet.hardware import ram_bytes, wall_bytes
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.pricing import heat_of, on_device_s
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always
from fedlite.units import DAY_S

NAMES = ("pixel-4", "galaxy-a52", "pi-4b", "watch-wear-4100")
N = 24
NOW_S = 5000.0
KIB = 1024.0


class Only(Always):
    """Everything holds but what is named."""

    def __init__(self, *lacking):
        self.lacking = frozenset(lacking)

    def eligible(self, ids, t_s, conditions):
        return np.broadcast_to(not self.lacking & set(conditions), np.broadcast_shapes(np.shape(ids), np.shape(t_s)))


def make_fleet(*lacking, names=NAMES, n=N, rules=None, **budgets):
    people = population.draw([load_profile(name) for name in names], [1.0] * len(names), n, seed=5)
    fleet = Fleet(people, Only(*lacking), rules or Rules(), Budgets(**budgets), seed=5)
    fleet.jobs[:] = np.arange(n) % 3
    return fleet


def asked(n=N, *, down=200.0, up=300.0, train_s=10.0, peak=1.0, storage=1.0):
    spread = 1 + np.arange(n) / n
    return Demands(
        down * KIB * spread, up * KIB * spread, train_s * spread, np.full(n, peak), np.full(n, storage), np.zeros(n)
    )


def alone(fleet, link, device, down_bytes, up_bytes, between_s):
    """The transfers of one device: its own mean rates, varied by the number of its job, the radio idle before."""
    name = link.accesses[link.access_of[device]]
    one = np.array([device])
    mean = network.Rates(*(rate[one].astype(np.float64) for rate in (link.down_bps, link.up_bps, link.rtt_s)))
    rates = network.Variation([name], 5).of(mean, np.array([0]), one, fleet.jobs[one])
    generation = fleet.population.profiles[fleet.population.profile_of[device]].radio_generation
    mine = channels.Channels([(name, generation)])
    return name, *mine.job(
        np.array([0]), np.array([down_bytes]), np.array([up_bytes]), rates, between_s=np.array([between_s]),
        awake_s=np.array([-1.0]),
    )  # fmt: skip


@pytest.mark.parametrize("lacking", [(), ("unmetered",)])
def test_every_transfer_costs_what_it_costs_that_device_alone(lacking):
    fleet, wanted = make_fleet(*lacking), asked()
    priced = price(fleet, fleet.ids, NOW_S, wanted)
    phases, seen = priced.phases, set()
    at_home = fleet.presence.on_home_link(fleet.ids, NOW_S)
    for device in range(N):
        link = fleet.population.home if at_home[device] else fleet.population.away
        name, down, up = alone(
            fleet, link, device, wanted.down_bytes[device], wanted.up_bytes[device], phases.train_s[device]
        )
        assert (priced.connected.links.access[device], priced.connected.links.metered[device]) == (
            name,
            network.ACCESS[name].metered,
        )
        for ours, its in ((phases.down, down), (phases.up, up)):
            assert [getattr(ours, part.name)[device] for part in fields(its)] == [
                getattr(its, part.name)[0] for part in fields(its)
            ]
            assert min(its.time_s[0], its.energy_j[0]) > 0
        seen.add(name)
    assert len(seen) > 1 or not lacking
    assert (phases.refused == Outcome.ARRIVED.code).all()


def test_a_link_that_none_of_these_devices_uses_changes_nothing_for_them():
    fleet, wanted = make_fleet("unmetered", names=("nrf52840", *NAMES)), asked()
    whole = price(fleet, fleet.ids, NOW_S, wanted)
    assert set(whole.connected.links.access) == {"ble", "lte", "wifi"}
    for device in range(N):
        mine = np.array([device])
        one = price(fleet, mine, NOW_S, Demands(*(getattr(wanted, field.name)[mine] for field in fields(wanted))))
        assert one.connected.links.access[0] == whole.connected.links.access[device]
        assert one.phases.down.time_s[0] == whole.phases.down.time_s[device]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_training_is_stretched_by_the_share_and_drawn_beside_idling(share):
    fleet, wanted = make_fleet(cpu_share=share, cpu_time_s=90.0), asked(train_s=400.0)
    phases = price(fleet, fleet.ids, NOW_S, wanted).phases
    for device in range(N):
        profile = fleet.population.profiles[fleet.population.profile_of[device]]
        onset_s, sustained = heat_of(profile)
        train_s = on_device_s(
            wanted.train_s[device], 1.0, ram_bytes=profile.job_ram_bytes.value, cpu_share=share, onset_s=onset_s,
            sustained=sustained,
        )  # fmt: skip
        extra_w = (profile.active_w.value - profile.idle_w.value) * share
        assert phases.train_s[device] == pytest.approx(train_s, rel=1e-12)
        assert phases.train_j[device] == pytest.approx(train_s * extra_w, rel=1e-12)
        assert phases.idle_w[device] == profile.idle_w.value
    assert set(phases.cpu_limit_s.tolist()) == {90.0 / share}
    assert np.isinf(phases.energy_limit_j).all()


def test_a_job_that_is_killed_for_its_memory_is_not_priced_as_if_it_swapped():
    fleet = make_fleet(names=("pi-4b",), n=2)
    wall = load_profile("pi-4b").job_ram_bytes.value * memory.WALL_AT
    wanted = asked(2)
    at, beyond = (price(fleet, fleet.ids, NOW_S, asked(2, peak=peak)).phases for peak in (wall, wall * 1.001))
    assert set(at.refused.tolist()) == {Outcome.ARRIVED.code}
    assert set(beyond.refused.tolist()) == {Outcome.OUT_OF_MEMORY.code}
    assert beyond.train_s.tolist() == wanted.train_s.tolist()
    assert (at.train_s > wanted.train_s).all()


@pytest.mark.parametrize(
    ("name", "budget", "wall", "ram"),
    [
        ("pi-4b", None, memory.WALL_AT, 1.0),
        ("esp32-s3", None, 1.0, 1.0),
        ("syntiant-ndp9120", None, 1.0, 1.0),
        ("coral-dev-board", None, memory.WALL_AT, 1.0),
        ("pi-4b", 0.5, 0.5, 0.5),
        ("pi-4b", 1.01, 1.01, 1.0),
        ("pi-4b", 100.0, memory.WALL_AT, 1.0),
    ],
)
def test_memory_ends_at_the_device_s_wall_or_at_the_budget(name, budget, wall, ram):
    profile = load_profile(name)
    room = profile.job_ram_bytes.value
    budgets = Budgets(memory_bytes=None if budget is None else budget * room)
    assert wall_bytes(profile, budgets) == pytest.approx(wall * room)
    assert ram_bytes(profile, budgets) == pytest.approx(ram * room)


@pytest.mark.parametrize("name", ["pi-4b", "esp32-s3", "coral-dev-board"])
def test_a_prediction_is_killed_where_a_round_kills(name):
    """Both judge the upper end of one peak: just above the wall of one is just above the other's."""
    layer = Layer("fc", OpClass.LINEAR, 1000, 1000, 1000, 10, 100, 50)
    work = Workload("toy", (10,), (layer,), 110)
    peak = predict(load_profile(name), work, mode="training", batch=4).peak.high
    for room, fits in ((1.001, True), (0.999, False)):
        stretch = wall_bytes(load_profile(name), Budgets()) / load_profile(name).job_ram_bytes.value
        known = load_profile(name)
        tight = replace(known, job_ram_bytes=replace(known.job_ram_bytes, value=room * peak / stretch))
        assert np.isfinite(predict(tight, work, mode="training", batch=4).slowdown) == fits
        asked_for = pricing.price(tight, Plan("full"), work, pricing.Job(4.0, 1.0, batch=4)).peak_bytes
        assert (asked_for <= wall_bytes(tight, Budgets())) == fits


def refused(fleet, wanted):
    return {str(Outcome.of_code(int(code))) for code in price(fleet, fleet.ids, NOW_S, wanted).phases.refused}


def test_of_several_reasons_the_first_is_told():
    far = {"names": ("pixel-4",), "n": 3}
    room = load_profile("pixel-4").job_ram_bytes.value * memory.WALL_AT
    tight = {"storage_bytes": 10.0, "metered_bytes_per_month": 10.0}
    never = 1e15
    everything = {"storage": 11.0, "peak": room + 1}
    assert refused(make_fleet("unmetered", **far, **tight), asked(3, down=never, **everything)) == {"infeasible_link"}
    assert refused(make_fleet("unmetered", **far, **tight), asked(3, up=never, **everything)) == {"infeasible_link"}
    assert refused(make_fleet("unmetered", **far, **tight), asked(3, **everything)) == {"storage_full"}
    assert refused(make_fleet("unmetered", **far, **tight), asked(3, storage=10.0, peak=room + 1)) == {"out_of_memory"}
    assert refused(make_fleet("unmetered", **far, **tight), asked(3, storage=10.0)) == {"data_cap"}
    assert refused(make_fleet(**far, **tight), asked(3, storage=10.0)) == {"arrived"}


def test_the_data_cap_counts_both_ways_to_the_byte():
    far, wanted = {"names": ("pixel-4",), "n": 1}, asked(1, down=1.0, up=2.0)
    assert refused(make_fleet("unmetered", metered_bytes_per_month=3 * KIB, **far), wanted) == {"arrived"}
    assert refused(make_fleet("unmetered", metered_bytes_per_month=3 * KIB - 1, **far), wanted) == {"data_cap"}


def test_the_battery_carries_a_job_down_to_its_floor_and_the_charger_for_ever():
    fleet = make_fleet("plugged", battery_floor=0.25)
    limit_j = price(fleet, fleet.ids, NOW_S, asked()).phases.battery_limit_j
    capacity_j, charge_j = fleet.capacity_of(fleet.ids), fleet.charge_at(fleet.ids, NOW_S)
    owned = ~fleet.on_mains(fleet.ids)
    np.testing.assert_allclose(limit_j[owned], np.maximum(charge_j[owned] - 0.25 * capacity_j[owned], 0))
    assert np.isinf(limit_j[~owned]).all()
    assert 0 < owned.sum() < N
    assert np.isinf(price(make_fleet(battery_floor=0.25), fleet.ids, NOW_S, asked()).phases.battery_limit_j).all()
    empty = make_fleet("plugged", battery_floor=1.0)
    assert (price(empty, fleet.ids, NOW_S, asked()).phases.battery_limit_j[owned] == 0).all()


def test_uploads_are_priced_again_as_they_were_encoded_and_only_those_that_were():
    fleet = make_fleet()
    first = price(fleet, fleet.ids, NOW_S, asked())
    computed = np.arange(N) % 2 == 0
    again = price_uploads(fleet, first, asked(up=900.0), computed)
    nothing = price(fleet, fleet.ids, NOW_S, asked(up=0.0)).phases
    larger = price(fleet, fleet.ids, NOW_S, asked(up=900.0)).phases
    for field in ("ramp_s", "ramp_j", "active_s", "active_j", "tail_j"):
        got, more, none = (getattr(phases.up, field) for phases in (again.phases, larger, nothing))
        assert got.tolist() == np.where(computed, more, none).tolist()
        assert not none.any()
    for field in ("down", "train_s", "refused", "battery_limit_j"):
        assert getattr(again.phases, field) is getattr(first.phases, field) or field == "refused"
    assert again.phases.refused.tolist() == first.phases.refused.tolist()
    never = price_uploads(fleet, first, asked(up=1e15), computed)
    codes = np.where(computed, Outcome.INFEASIBLE_LINK.code, Outcome.ARRIVED.code)
    assert never.phases.refused.tolist() == codes.tolist()
    assert first.phases.refused.tolist() == [Outcome.ARRIVED.code] * N


def test_a_link_that_takes_just_a_day_can_carry_it():
    fleet = make_fleet(names=("pixel-4",), n=1)
    name = price(fleet, fleet.ids, NOW_S, asked(1)).connected.links.access[0]
    only = channels.Channels([(str(name), load_profile("pixel-4").radio_generation)])
    per_byte_s = float(only.least_s(np.zeros(1, np.int64), np.array([1e12]))[0]) / 1e12
    just = DAY_S / per_byte_s / KIB
    assert refused(fleet, asked(1, down=just * 0.999)) == {"arrived"}
    assert refused(fleet, asked(1, down=just * 1.001)) == {"infeasible_link"}


class Ends(Only):
    """Everything holds until one condition stops."""

    def __init__(self, condition, when_s):
        super().__init__()
        self.condition, self.when_s = condition, when_s

    def eligible(self, ids, t_s, conditions):
        t_s = np.broadcast_to(np.asarray(t_s, dtype=np.float64), np.broadcast_shapes(np.shape(ids), np.shape(t_s)))
        return (t_s < self.when_s) | (self.condition not in conditions)

    def ends_s(self, ids, t_s, conditions):
        return np.full(np.shape(ids), self.when_s if self.condition in conditions else np.inf)


@pytest.mark.parametrize(
    ("condition", "field"), [("plugged", "unplugged_s"), ("unmetered", "offline_s"), ("idle", "interrupted_s")]
)
def test_the_condition_that_stops_is_the_one_that_is_named(condition, field):
    people = population.draw([load_profile("pixel-4")], [1.0], 3, seed=5)
    rules = Rules(charging=True, unmetered=True, idle=True)
    fleet = Fleet(people, Ends(condition, NOW_S + 40.0), rules, Budgets(), seed=5)
    phases = price(fleet, fleet.ids, NOW_S, asked(3)).phases
    for name in ("unplugged_s", "offline_s", "interrupted_s"):
        assert getattr(phases, name).tolist() == [40.0 if name == field else np.inf] * 3
