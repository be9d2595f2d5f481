"""A day in the life of a fleet of phones under a keyboard's rules, through the grid: who serves, and who drops out.

Bonawitz et al. 2019, "Towards Federated Learning at Scale: System Design", section 9: four times as many devices serve
at night as by day, and 6 to 10 % of them drop out, because they stop meeting the rules. The range here is wider by the
noise of a thousand devices.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlite.fleet import population
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.flower.grid import FIRST_NODE_ID, FleetGrid, RoundPolicy
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Diurnal
from fedlite.units import DAY_S, HOUR_S

PHONES = 1000
TRAIN_S = 150.0
DROPPED = ("unplugged", "lost_network", "interrupted")


class Toy:
    """Clients that train for a fixed time and answer nothing but their number of examples."""

    def __init__(self, failing=()):
        self.failing = np.asarray(failing, dtype=np.int64)

    def open(self, messages, devices, now_s):
        return ToyExchange(self, devices)


class ToyExchange:
    final = True

    def __init__(self, runtime, devices):
        self.runtime, self.devices, n = runtime, devices, len(devices)
        self.demands = Demands(*(np.full(n, value) for value in (1e6, 1e6, TRAIN_S, 1e8, 1e6, 0.0)))

    def start(self, arriving, uploading):
        pass

    def finish(self):
        self.demands = replace(self.demands)

    def settle(self, arrived, downloaded):
        pass

    @property
    def facts(self):
        n = len(self.devices)
        ones = np.ones(n)
        reason = np.where(np.isin(self.devices, self.runtime.failing), "as asked", "").astype(object)
        return Facts(np.full(n, "full"), ones, ones, ones, ones, ones, reason, 0.9 * ones, 1.1 * ones, ones < 0)

    def replies(self, arrived):
        reply = RecordDict({"metrics": MetricRecord({"num-examples": 1})})
        return [reply if came else None for came in arrived]


def make_grid(start_s=0.0, failures="error", runtime=None):
    people = population.draw([load_profile("pixel-4"), load_profile("galaxy-a52")], [1, 1], PHONES, seed=6)
    rules = Rules(charging=True, unmetered=True, idle=True)
    fleet = Fleet(people, Diurnal(6), rules, Budgets(), seed=6, start_s=start_s)
    return FleetGrid(fleet, runtime or Toy(), Ledger(), policy=RoundPolicy(failures=failures), start_s=start_s)


def ask(nodes, round_=1):
    content = RecordDict(
        {"arrays": ArrayRecord({"w": Array(np.zeros(1))}), "config": ConfigRecord({"server-round": round_})}
    )
    return [Message(content, node, "train") for node in nodes]


@pytest.fixture(scope="module")
def day():
    """One round of up to 100 phones every 20 minutes of a Wednesday: (hour, eligible) per round, and the grid."""
    start_s = 2 * DAY_S
    grid, dice, seen = make_grid(start_s), stream(6, "test cohort"), []
    for round_ in range(72):
        grid.sleep(start_s + round_ * HOUR_S / 3 - grid.clock.now_s)
        nodes = grid.get_node_ids()
        seen.append((round_ / 3, len(nodes)))
        chosen = sorted(dice.choice(nodes, size=min(100, len(nodes)), replace=False).tolist())
        grid.send_and_receive(ask(chosen, round_), timeout=1000.0)
    return seen, grid


def test_four_times_as_many_phones_serve_at_night_as_by_day(day):
    seen, _ = day
    by_hour = [np.mean([count for hour, count in seen if int(hour) == wanted]) for wanted in range(24)]
    assert 3.0 < max(by_hour) / min(by_hour) < 5.5
    assert int(np.argmax(by_hour)) in (0, 1, 2, 3, 4, 5)
    assert int(np.argmin(by_hour)) in range(8, 21)


def test_between_4_and_12_percent_of_jobs_are_lost_to_their_owners(day):
    _, grid = day
    rows = grid.ledger.columns()
    lost = np.isin(rows["outcome"], DROPPED)
    assert 0.04 < lost.mean() < 0.12
    assert set(rows["outcome"].tolist()) <= {"arrived", *DROPPED}
    by_day = np.isin((rows["start_s"] % DAY_S // HOUR_S).astype(int), range(10, 18))
    assert lost[by_day].mean() > lost[~by_day].mean()


def test_lost_jobs_are_charged_in_part_and_ended_when_they_were_lost(day):
    _, grid = day
    rows = grid.ledger.columns()
    lost, arrived = np.isin(rows["outcome"], DROPPED), rows["outcome"] == "arrived"
    assert (rows["train_s"][lost] <= TRAIN_S).all()
    assert (rows["train_s"][arrived] == TRAIN_S).all()
    assert rows["energy_j"][lost].mean() < 0.75 * rows["energy_j"][arrived].mean()
    np.testing.assert_allclose(rows["energy_j"], rows["mains_j"])  # the rules ask for a charger


def test_a_device_never_does_two_jobs_at_once(day):
    _, grid = day
    rows = grid.ledger.columns()
    for device in np.unique(rows["device"]):
        mine = np.flatnonzero(rows["device"] == device)
        starts, ends = rows["start_s"][mine], rows["end_s"][mine]
        assert (starts[1:] >= ends[:-1]).all()


def test_the_order_of_messages_changes_no_total_and_no_job():
    orders = ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4])
    tables = []
    for order in orders:
        grid = make_grid(2 * DAY_S)
        nodes = grid.get_node_ids()[:6]
        grid.send_and_receive(ask([nodes[position] for position in order]), timeout=1000.0)
        rows = grid.ledger.columns()
        by_device = np.argsort(rows["device"])
        tables.append({name: values[by_device].tolist() for name, values in rows.items()})
        tables[-1]["clock"] = [grid.clock.now_s]
    for name, values in tables[0].items():
        np.testing.assert_array_equal(values, tables[1][name], err_msg=name)


@pytest.mark.parametrize(("failures", "replies", "ends_s"), [("error", 2, TRAIN_S), ("missing", 1, 1000.0)])
def test_a_client_that_raises_is_charged_in_full_and_told_as_the_policy_says(failures, replies, ends_s):
    grid = make_grid(2 * DAY_S, failures)
    nodes = [node for node in grid.get_node_ids() if grid.fleet.presence.ends_s(
        frozenset({"plugged", "unmetered", "idle"}), np.array([node - FIRST_NODE_ID]), grid.clock.now_s
    )[0] > grid.clock.now_s + 500.0][:2]  # fmt: skip
    grid._runtime.failing = np.array([nodes[1] - FIRST_NODE_ID])
    answers = grid.send_and_receive(ask(nodes), timeout=1000.0)
    rows = grid.ledger.columns()
    assert rows["outcome"].tolist() == [Outcome.ARRIVED, Outcome.CLIENT_ERROR]
    assert (rows["train_s"] == TRAIN_S).all()
    assert len(answers) == replies
    assert grid.clock.now_s - 2 * DAY_S == pytest.approx(ends_s, abs=5.0)
