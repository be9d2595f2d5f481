"""The grid's own behaviour, with clients that compute nothing and devices whose costs are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlite.errors import FleetExhaustedError
from fedlite.fleet import population
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.flower.grid import FIRST_NODE_ID, FleetGrid, RoundPolicy
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always


class Echo:
    """Clients that answer with the number of their device after a training time of their own."""

    def __init__(self, train_s, peak_bytes=0.0, knows_uploads=True):
        self.train_s = np.asarray(train_s, dtype=np.float64)
        self.peak_bytes = peak_bytes
        self.knows_uploads = knows_uploads
        self.trained = []

    def open(self, messages, devices, now_s):
        return EchoExchange(self, messages, devices)


class EchoExchange:
    def __init__(self, runtime, messages, devices):
        self.runtime, self.devices, self.final = runtime, devices, runtime.knows_uploads
        n = len(devices)
        self.demands = Demands(
            np.full(n, 1000.0),
            np.full(n, 1000.0 if self.final else 0.0),
            runtime.train_s[devices],
            np.full(n, runtime.peak_bytes),
            np.full(n, 1000.0),
            np.zeros(n),
        )

    def start(self, arriving, uploading):
        self.runtime.trained += self.devices[arriving if self.final else uploading].tolist()

    def finish(self):
        self.demands = replace(self.demands, up_bytes=np.full(len(self.devices), 1000.0))

    @property
    def facts(self):
        n = len(self.devices)
        raw = np.full(n, 1000)
        return Facts(
            np.full(n, "full"),
            raw,
            raw,
            raw,
            raw,
            np.zeros(n),
            np.full(n, "", dtype=object),
            np.ones(n) * 0.9,
            np.ones(n) * 1.1,
            np.zeros(n, dtype=bool),
        )

    def settle(self, arrived, downloaded):
        self.arrived = arrived

    def replies(self, arrived):
        return [
            RecordDict(
                {
                    "arrays": ArrayRecord({"w": Array(np.array([float(device)]))}),
                    "metrics": MetricRecord({"num-examples": 1}),
                }
            )
            if came
            else None
            for device, came in zip(self.devices.tolist(), arrived, strict=True)
        ]


def make_grid(train_s, policy=None, rules=None, budgets=None, **echo):
    people = population.draw([load_profile("pi-4b")], [1.0], len(train_s), seed=1, access="ethernet")
    fleet = Fleet(people, Always(), rules or Rules(), budgets or Budgets(), seed=1)
    runtime = Echo(train_s, **echo)
    return FleetGrid(fleet, runtime, Ledger(), policy=policy), runtime


def ask(devices, kind="train", round_=1):
    content = RecordDict(
        {"arrays": ArrayRecord({"w": Array(np.zeros(1))}), "config": ConfigRecord({"server-round": round_})}
    )
    return [Message(content, FIRST_NODE_ID + device, kind) for device in devices]


def names(replies):
    return [reply.metadata.src_node_id - FIRST_NODE_ID for reply in replies]


def test_replies_come_in_the_order_of_the_messages_and_time_is_the_slowest_device():
    grid, _ = make_grid([30.0, 10.0, 20.0])
    replies = grid.send_and_receive(ask([2, 0, 1]))
    assert names(replies) == [2, 0, 1]
    assert 30.0 < grid.clock.now_s < 32.0
    assert [float(reply.content["arrays"]["w"].numpy()[0]) for reply in replies] == [2.0, 0.0, 1.0]


def test_the_timeout_is_virtual_seconds_and_late_devices_are_charged_but_not_trained():
    grid, runtime = make_grid([5.0, 500.0])
    replies = grid.send_and_receive(ask([0, 1]), timeout=60.0)
    assert names(replies) == [0]
    assert grid.clock.now_s == 60.0
    assert runtime.trained == [0]
    rows = grid.ledger.columns()
    assert rows["outcome"].tolist() == ["arrived", "late"]
    assert rows["train_s"][1] == pytest.approx(500.0)
    assert rows["energy_j"][1] > 50 * rows["energy_j"][0]


def test_a_late_device_stays_busy_until_it_is_done():
    grid, _ = make_grid([5.0, 500.0])
    grid.send_and_receive(ask([0, 1]), timeout=60.0)
    assert [node - FIRST_NODE_ID for node in grid.get_node_ids()] == [0]


@pytest.mark.parametrize("knows_uploads", [True, False])
def test_the_first_k_close_the_round(knows_uploads):
    grid, runtime = make_grid([40.0, 10.0, 30.0, 20.0], RoundPolicy(first=2), knows_uploads=knows_uploads)
    replies = grid.send_and_receive(ask([0, 1, 2, 3]), timeout=1000.0)
    assert names(replies) == [1, 3]
    assert 20.0 < grid.clock.now_s < 22.0
    assert len(runtime.trained) == (2 if knows_uploads else 4)


@pytest.mark.parametrize("knows_uploads", [True, False])
@pytest.mark.parametrize(
    ("policy", "deadline_s", "outcomes"),
    [
        # Two came in time: that closed the round, whatever the deadline was.
        (RoundPolicy(first=2), 1000.0, ["surplus", "arrived", "surplus", "arrived"]),
        (RoundPolicy(first=2), 35.0, ["surplus", "arrived", "surplus", "arrived"]),
        # The third never came before the deadline, which closed the round.
        (RoundPolicy(first=3), 25.0, ["late", "arrived", "late", "arrived"]),
        (RoundPolicy(), 25.0, ["late", "arrived", "late", "arrived"]),
    ],
)
def test_what_closed_the_round_says_how_those_ended_who_came_after(policy, deadline_s, outcomes, knows_uploads):
    grid, _ = make_grid([40.0, 10.0, 30.0, 20.0], policy, knows_uploads=knows_uploads)
    replies = grid.send_and_receive(ask([0, 1, 2, 3]), timeout=deadline_s)
    assert names(replies) == [1, 3]
    assert grid.ledger.columns()["outcome"].tolist() == outcomes


@pytest.mark.parametrize(("first", "ended"), [(2, "surplus"), (3, "late")])
def test_the_same_holds_where_messages_wait_for_their_turn(first, ended):
    grid, _ = make_grid([100.0, 10.0, 200.0], RoundPolicy(first=first))
    grid.push_messages(ask([1]))
    replies = grid.send_and_receive(ask([0, 1, 2]), timeout=150.0)
    assert len(replies) == 2
    grid.finish()
    rows = grid.ledger.columns()
    assert dict(zip(rows["device"].tolist(), rows["outcome"].tolist(), strict=True)) == {
        0: "arrived",
        1: "arrived",
        2: ended,
    }


def test_failures_show_as_errors_at_once_or_not_at_all():
    for failures, seen, ends in [("error", 2, 12.0), ("missing", 1, 100.0)]:
        grid, _ = make_grid([10.0, 50.0], RoundPolicy(failures=failures), budgets=Budgets(cpu_time_s=11.0))
        replies = grid.send_and_receive(ask([0, 1]), timeout=100.0)
        assert len(replies) == seen
        assert grid.clock.now_s == pytest.approx(ends, abs=1.0)
        assert grid.ledger.columns()["outcome"].tolist() == ["arrived", "cpu_budget"]
    errors = [reply for reply in make_errors() if reply.has_error()]
    assert "cpu_budget: Training took longer" in errors[0].error.reason


def make_errors():
    grid, _ = make_grid([10.0, 50.0], RoundPolicy(failures="error"), budgets=Budgets(cpu_time_s=11.0))
    return grid.send_and_receive(ask([0, 1]), timeout=100.0)


@pytest.mark.parametrize(("failures", "ends_s"), [("error", 22.0), ("missing", 100.0)])
def test_a_round_in_which_everybody_fails_ends_with_the_last_failure_or_the_deadline(failures, ends_s):
    grid, _ = make_grid([50.0, 60.0], RoundPolicy(first=1, failures=failures), budgets=Budgets(11.0 / 22.0, 11.0))
    replies = grid.send_and_receive(ask([0, 1]), timeout=100.0)
    assert not [reply for reply in replies if not reply.has_error()]
    assert grid.clock.now_s == pytest.approx(ends_s, abs=1.0)
    assert grid.ledger.columns()["train_s"].tolist() == pytest.approx([22.0, 22.0])


def test_no_messages_take_no_time():
    grid, _ = make_grid([1.0])
    assert grid.send_and_receive([]) == []
    assert grid.clock.now_s == 0.0


def test_a_job_that_needs_too_much_memory_is_refused_before_it_costs_anything():
    grid, runtime = make_grid([10.0], peak_bytes=1e12)
    grid.send_and_receive(ask([0]))
    rows = grid.ledger.columns()
    assert (rows["outcome"][0], rows["energy_j"][0], rows["down_bytes"][0], runtime.trained) == (
        "out_of_memory",
        0,
        0,
        [],
    )


@pytest.mark.parametrize("knows_uploads", [True, False])
def test_pulled_replies_arrive_in_virtual_time(knows_uploads):
    grid, _ = make_grid([30.0, 10.0, 20.0], knows_uploads=knows_uploads)
    ids = grid.push_messages(ask([0, 1, 2]))
    seen = []
    while len(seen) < 3:
        seen += [(names([reply])[0], round(grid.clock.now_s, -1)) for reply in grid.pull_messages(ids)]
    assert seen == [(1, 10.0), (2, 20.0), (0, 30.0)]
    assert grid.pull_messages(ids) == []
    assert grid.ledger.columns()["device"].tolist() == [1, 2, 0]


def test_devices_under_way_are_not_offered_again():
    grid, _ = make_grid([30.0, 10.0, 20.0])
    grid.push_messages(ask([1]))
    assert [node - FIRST_NODE_ID for node in grid.get_node_ids()] == [0, 2]


def test_a_silent_failure_expires_for_a_pulling_server():
    grid, _ = make_grid([50.0], RoundPolicy(failures="missing"), budgets=Budgets(cpu_time_s=11.0))
    (reply,) = grid.pull_messages(grid.push_messages(ask([0])))
    assert reply.has_error()
    assert reply.error.code == 3
    assert grid.clock.now_s == 43_200.0


def test_a_silent_device_is_free_again_when_its_job_ends_and_not_when_its_message_expires():
    grid, _ = make_grid([50.0, 3600.0], RoundPolicy(failures="missing"), budgets=Budgets(cpu_time_s=3000.0))
    ids = grid.push_messages(ask([0, 1]))
    grid.pull_messages(ids[:1])
    grid.sleep(4000.0)
    assert [node - FIRST_NODE_ID for node in grid.get_node_ids()] == [0, 1]
    assert grid.ledger.columns()["outcome"].tolist() == ["arrived", "cpu_budget"]
    grid.finish()
    assert len(grid.ledger) == 2


def test_what_is_under_way_when_the_server_stops_is_booked():
    grid, _ = make_grid([30.0, 10.0])
    ids = grid.push_messages(ask([0, 1]))
    grid.pull_messages(ids)
    grid.finish()
    assert grid.ledger.columns()["outcome"].tolist() == ["arrived", "unheard"]


def test_a_starved_server_moves_the_clock_and_in_the_end_hears_why():
    class Never(Always):
        def eligible(self, ids, t_s, conditions):
            return np.zeros(np.shape(ids), dtype=bool)

        def next_start_s(self, ids, t_s, conditions):
            return np.full(len(ids), np.inf)

    people = population.draw([load_profile("pixel-4")], [1.0], 3, seed=1)
    fleet = Fleet(people, Never(), Rules(unmetered=True), Budgets(), seed=1)
    grid = FleetGrid(fleet, Echo([1.0] * 3), Ledger())
    assert grid.get_node_ids() == []
    with pytest.raises(FleetExhaustedError, match="3 on a metered network"):
        grid.wait()


def test_energy_is_conserved_row_by_row_and_batteries_lose_what_is_charged():
    people = population.draw([load_profile("pixel-4"), load_profile("pi-4b")], [1, 1], 8, seed=1)

    class Unplugged(Always):
        def eligible(self, ids, t_s, conditions):
            return np.full(np.shape(ids), "plugged" not in conditions)

    fleet = Fleet(people, Unplugged(), Rules(), Budgets(), seed=1)
    before = fleet.charge_at(fleet.ids, 0.0)
    grid = FleetGrid(fleet, Echo([25.0] * 8), Ledger())
    grid.send_and_receive(ask(range(8)))
    rows = grid.ledger.columns()
    np.testing.assert_allclose(rows["energy_j"], rows["compute_j"] + rows["radio_j"])
    np.testing.assert_allclose(rows["energy_j"], rows["battery_j"] + rows["mains_j"])
    np.testing.assert_allclose(rows["end_s"], rows["start_s"] + rows["down_s"] + rows["train_s"] + rows["up_s"])
    phones = ~fleet.on_mains(rows["device"])
    assert phones.sum() == 4
    mine, lasted_s = rows["device"][phones].astype(np.int64), rows["end_s"][phones] - rows["start_s"][phones]
    idle_j = load_profile("pixel-4").idle_w.value * lasted_s
    after = [fleet.charge_at(mine[[i]], end_s)[0] for i, end_s in enumerate(rows["end_s"][phones])]
    np.testing.assert_allclose(before[mine] - after, rows["energy_j"][phones] + idle_j, rtol=1e-6)
    np.testing.assert_allclose((rows["battery_before_j"] - rows["battery_after_j"])[phones], rows["battery_j"][phones])
    assert np.isnan(rows["battery_before_j"][~phones]).all()
    assert (rows["mains_j"][~phones] > 0).all()


def test_an_app_that_waits_for_nodes_goes_on_as_soon_as_they_are_there():
    grid, _ = make_grid([float(second) for second in range(1, 31)], policy=RoundPolicy(first=1))
    grid.send_and_receive(ask(range(30)))
    while len(grid.get_node_ids()) < 30:
        grid.wait()
    assert len(grid.get_node_ids()) == 30
    assert 30.0 < grid.clock.now_s < 32.0


def test_an_app_that_only_asks_again_and_again_waits_in_virtual_time():
    grid, _ = make_grid([1.0, 50.0], policy=RoundPolicy(first=1))
    grid.send_and_receive(ask([0, 1]))
    while len(grid.get_node_ids()) < 2:
        pass
    assert 50.0 < grid.clock.now_s < 52.0
