"""Rounds of devices that check in: selection, configuration and reporting, as Bonawitz et al. 2019 tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, RecordDict

from fedlite.errors import FleetExhaustedError
from fedlite.fleet import state
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.fleet.outcomes import Outcome
from fedlite.flower.asynchronous import AsyncServer, FedAsync
from fedlite.flower.grid import FIRST_NODE_ID, FleetGrid, RoundPolicy
from fedlite.units import DAY_S


@dataclass
class Sleepers:
    """Clients that keep their device for a time of its own and send back what they got."""

    sleeps_s: np.ndarray
    tracebacks: dict = field(default_factory=dict)

    def open(self, messages, devices, now_s):
        return Slept(messages, self.sleeps_s[devices])


@dataclass
class Slept:
    messages: list
    slept_s: np.ndarray
    final: bool = True

    @property
    def demands(self):
        n = np.zeros(len(self.slept_s))
        return Demands(n + 1000.0, n + 1000.0, train_s=n, peak_bytes=n, storage_bytes=n, slept_s=self.slept_s)

    @property
    def facts(self):
        n = len(self.slept_s)
        none, one = np.zeros(n, dtype=np.int64), np.ones(n)
        return Facts(np.full(n, "x"), none, none, none, none, one * np.nan, np.full(n, "", object), one, one, one < 0)

    def start(self, arriving, uploading):
        pass

    def finish(self):
        pass

    def settle(self, arrived, downloaded):
        pass

    def replies(self, arrived):
        return [
            message.content if came else None for message, came in zip(self.messages, arrived.tolist(), strict=True)
        ]


@pytest.fixture
def gathering(protocol, checking_in):
    """Return a function that puts sleeping clients on a grid of devices that check in."""

    def make(n=200, *, sleeps_s=30.0, policy=None, **changes):
        fleet = checking_in(n, replace(protocol, **changes))
        runtime = Sleepers(np.broadcast_to(np.asarray(sleeps_s, dtype=np.float64), n))
        return FleetGrid(fleet, runtime, Ledger(), policy=policy or RoundPolicy(failures="missing"))

    return make


def ask(grid, nodes, kind="train"):
    content = RecordDict({"arrays": ArrayRecord()})
    return grid.send_and_receive([Message(content, node, kind) for node in nodes])


def first_arrivals(grid):
    return np.sort([grid.fleet.check_ins.comes_s(device) for device in range(len(grid.fleet))])


def test_a_selection_closes_when_enough_devices_wait_and_sends_the_others_away(gathering):
    grid = gathering()
    tenth_s = first_arrivals(grid)[9]
    nodes = grid.get_node_ids()
    assert len(nodes) == 10
    assert grid.now_s == tenth_s
    assert grid.get_node_ids() == nodes
    assert grid.fleet.eligible(grid.now_s).tolist() == [node - FIRST_NODE_ID for node in nodes]


def test_time_passes_in_a_round_and_on_the_server_and_the_next_cohort_comes_meanwhile(gathering):
    grid = gathering(policy=RoundPolicy(failures="missing", server_time_s=5.0))
    nodes = grid.get_node_ids()
    began_s = grid.now_s
    assert len(ask(grid, nodes)) == 10
    ended_s = float(grid.ledger.columns()["end_s"].max())
    assert grid.now_s == pytest.approx(ended_s + 5.0)
    assert ended_s - began_s > 30.0
    others = grid.get_node_ids()
    # Two hundred devices come in 300 s: the thirty seconds were enough for ten.
    assert grid.now_s == pytest.approx(ended_s + 5.0)
    assert len(others) == 10
    assert not set(nodes) & set(others)
    assert grid.fleet.eligible(grid.now_s).tolist() == [node - FIRST_NODE_ID for node in others]


def test_evaluating_takes_no_time_on_the_server(gathering):
    grid = gathering(policy=RoundPolicy(failures="missing", server_time_s=5.0))
    ask(grid, grid.get_node_ids(), "evaluate")
    assert grid.now_s == pytest.approx(float(grid.ledger.columns()["end_s"].max()))


def test_whoever_waits_is_as_likely_to_be_chosen(gathering, protocol):
    chosen = np.zeros(60)
    for seed in range(60):
        grid = gathering(60, selection=replace(protocol.selection, asked=20, timeout_s=300.0))
        grid.fleet.seed = seed
        grid = FleetGrid(grid.fleet, Sleepers(np.ones(60)), Ledger())
        grid.sleep(299.0)  # all have come
        chosen[np.array(grid.get_node_ids()) - FIRST_NODE_ID] += 1
    assert chosen.sum() == 60 * 20
    # Binomial(60, 1/3): mean 20, standard deviation 3.7.
    assert np.abs(chosen - 20).max() < 5 * 3.7
    assert 2.0 < chosen.std() < 5.5


def test_a_round_begins_with_fewer_devices_when_the_time_is_up(gathering, protocol):
    grid = gathering(8, selection=replace(protocol.selection, asked=10, least=3, timeout_s=400.0))
    nodes = grid.get_node_ids()
    assert len(nodes) == 8
    assert grid.now_s == pytest.approx(400.0)


def test_a_selection_with_too_few_devices_is_given_up_and_begun_again(gathering, protocol):
    grid = gathering(8, selection=replace(protocol.selection, asked=8, least=8, timeout_s=200.0))
    nodes = grid.get_node_ids()
    assert len(nodes) == 8
    visits = grid.fleet.check_ins.visits
    assert grid.now_s > 400.0
    assert visits.in_vain.sum() > 0
    assert visits.count.sum() == visits.in_vain.sum() + 8


def test_a_round_of_too_few_reports_is_abandoned(gathering):
    sleeps_s = np.where(np.arange(200) % 2, 10.0, 400.0)
    grid = gathering(sleeps_s=sleeps_s, policy=RoundPolicy(deadline_s=270.0, failures="missing", least_share=0.8))
    nodes = grid.get_node_ids()
    began_s = grid.now_s
    assert ask(grid, nodes) == []
    assert grid.now_s == pytest.approx(began_s + 270.0)
    assert set(grid.ledger.columns()["outcome"]) == {Outcome.ABANDONED, Outcome.LATE}


def test_a_round_with_enough_reports_counts(gathering):
    sleeps_s = np.where(np.arange(200) % 10, 10.0, 400.0)
    grid = gathering(sleeps_s=sleeps_s, policy=RoundPolicy(deadline_s=270.0, failures="missing", least_share=0.5))
    assert len(ask(grid, grid.get_node_ids())) > 5
    assert Outcome.ABANDONED not in set(grid.ledger.columns()["outcome"])


@pytest.mark.parametrize(
    ("asked", "first", "least_share", "least"), [(10, None, 0.8, 8), (13, 10, 0.8, 8), (6, 10, 0.8, 5), (13, 10, 0, 0)]
)
def test_what_a_round_needs_is_a_share_of_what_it_wants(asked, first, least_share, least):
    policy = RoundPolicy(first=first, least_share=least_share)
    assert policy.closing(np.inf, asked, trains=True).least == least
    assert policy.closing(np.inf, asked, trains=False).least == 0


def test_a_device_gives_a_job_up_at_its_cap(gathering):
    grid = gathering(sleeps_s=np.where(np.arange(200) % 2, 10.0, 4000.0))
    ask(grid, grid.get_node_ids())
    jobs = grid.ledger.columns()
    stopped = jobs["outcome"] == Outcome.TIMED_OUT
    assert stopped.sum() == (jobs["device"] % 2 == 0).sum() > 0
    assert (jobs["end_s"] - jobs["start_s"])[stopped] == pytest.approx(585.0)
    assert (jobs["end_s"] - jobs["start_s"]).max() <= 585.0 + 1e-9


def test_nobody_takes_part_twice_within_the_gap(gathering):
    grid = gathering(60)
    while grid.now_s < 5.5 * DAY_S:
        ask(grid, grid.get_node_ids())
    jobs = grid.ledger.columns()
    order = np.lexsort((jobs["start_s"], jobs["device"]))
    same = np.diff(jobs["device"][order]) == 0
    gap_s = jobs["start_s"][order][1:] - jobs["end_s"][order][:-1]
    assert same.sum() > 100
    assert gap_s[same].min() >= DAY_S - 1e-6
    assert np.bincount(jobs["device"][jobs["start_s"] < 6 * DAY_S]).max() == 6


def test_a_message_to_a_device_that_is_not_there_waits_until_it_checks_in(gathering):
    grid = gathering(3)
    last = int(np.argmax([grid.fleet.check_ins.comes_s(device) for device in range(3)]))
    comes_s = grid.fleet.check_ins.comes_s(last)
    assert len(ask(grid, [last + FIRST_NODE_ID])) == 1
    assert grid.ledger.columns()["start_s"].tolist() == [comes_s]
    grid.push_messages([Message(RecordDict({"arrays": ArrayRecord()}), last + FIRST_NODE_ID, "train")])
    names = grid.push_messages([Message(RecordDict({"arrays": ArrayRecord()}), last + FIRST_NODE_ID, "train")])
    assert len(grid.pull_messages(names)) == 1
    starts_s = grid.ledger.columns()["start_s"]
    assert len(starts_s) == 3
    assert (np.diff(starts_s) >= DAY_S).all()


def test_a_fleet_in_which_nobody_can_come_is_exhausted(gathering):
    grid = gathering(20)
    grid.fleet.check_ins.begin_work(grid.fleet.ids)
    with pytest.raises(FleetExhaustedError, match="too few of 20 devices"):
        grid.get_node_ids()


@pytest.fixture
def patient_for_two_days(monkeypatch):
    """A month of check-ins takes long to go through."""
    monkeypatch.setattr(state, "PATIENCE_S", 2 * DAY_S)


@pytest.mark.usefixtures("patient_for_two_days")
def test_an_app_that_wants_more_nodes_than_a_cohort_has_does_not_wait_for_ever(gathering):
    grid = gathering(20)

    def wait_for_all():
        while len(grid.get_node_ids()) < 20:
            grid.wait()

    with pytest.raises(FleetExhaustedError):
        wait_for_all()


def test_an_asynchronous_server_knows_that_no_device_works_longer_than_its_cap(gathering, protocol):
    """Ten of forty devices never end within the cap; those that come later take their places at once."""
    sleeps_s = np.where(np.arange(40) % 4 == 0, 1000.0, 30.0)
    alone = replace(protocol.selection, asked=5, rounds=False)
    grid = gathering(40, sleeps_s=sleeps_s, selection=alone, min_gap_s=3600.0)
    AsyncServer(grid, FedAsync(), 5, ["w"], seed=1).run([np.zeros(2, np.float32)], 60, lambda _round, _arrays: {})
    jobs = grid.ledger.columns()
    assert (jobs["outcome"] == Outcome.TIMED_OUT).sum() > 5
    assert np.diff(np.sort(jobs["start_s"])).max() < 2000.0


@pytest.mark.usefixtures("patient_for_two_days")
def test_a_gap_longer_than_patience_is_waited_for(gathering):
    grid = gathering(16, min_gap_s=3 * DAY_S)
    for _ in range(2):
        nodes = grid.get_node_ids()
        while len(nodes) < 10:
            grid.wait()
            nodes = grid.get_node_ids()
        ask(grid, nodes)
    assert grid.now_s > 3 * DAY_S


def test_an_asynchronous_server_asks_whoever_comes(gathering, protocol):
    alone = replace(protocol.selection, asked=20, rounds=False)
    grid = gathering(100, selection=alone, min_gap_s=3600.0)
    server = AsyncServer(grid, FedAsync(), 20, ["w"], seed=1)
    start = [np.zeros(2, dtype=np.float32)]
    server.run(start, 150, lambda _round, _arrays: {})
    jobs = grid.ledger.columns()
    order = np.lexsort((jobs["start_s"], jobs["device"]))
    same = np.diff(jobs["device"][order]) == 0
    assert (jobs["start_s"][order][1:] - jobs["end_s"][order][:-1])[same].min() >= 3600.0 - 1e-6
    # Those that come in the first five minutes are asked as they come, not when another one has replied.
    assert len(np.unique(jobs["start_s"][:15])) == 15
