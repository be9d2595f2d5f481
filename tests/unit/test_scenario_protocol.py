"""`fleet.protocol`: what may be written, what it means beside `training`, and what a run tells of it."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from fedlite.compose.protocol import policy
from fedlite.errors import FedliteError, FleetExhaustedError
from fedlite.report import run_sets
from fedlite.report.compare_page import totals_table
from fedlite.report.console import summary_table
from fedlite.report.figures.calendar import for_users
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page
from fedlite.report.words import percent, quantity
from fedlite.runner import Settings, run
from fedlite.scenario.dump import dump, dump_scenario
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.protocol import NoProtocol, Production
from fedlite.units import DAY_S

TEXT = """
name: tiny
seed: 3
fleet:
  devices: {devices}
  mix: consumer-phones
  start: Mon 20:00
  availability: {availability}
  protocol: {protocol}
task: {{data: digits, model: mlp}}
training: {{rounds: 3, {training}}}
"""


def scenario(protocol="production", training="clients_per_round: 10", *, devices=200, availability="diurnal"):
    return parse_scenario(TEXT.format(protocol=protocol, training=training, devices=devices, availability=availability))


def test_a_mapping_changes_keys_of_production_and_nothing_is_the_instant_world():
    assert isinstance(scenario("none").fleet.protocol, NoProtocol)
    changed = scenario("{min_gap: 1 h, check_in: {every: 10 min}}").fleet.protocol
    assert isinstance(changed, Production)
    assert (changed.min_gap_s, changed.check_in.every_s) == (3600.0, 600.0)
    assert changed.model_copy(update={"min_gap_s": 86_400.0, "check_in": Production().check_in}) == Production()
    assert scenario("{}").fleet.protocol == Production() == scenario("{kind: production}").fleet.protocol


@pytest.mark.parametrize("protocol", ["none", "production", "{min_gap: 0 s, check_in: {full: [1 min, 2 min]}}"])
def test_a_scenario_with_a_protocol_reads_back_as_itself(protocol):
    one = scenario(protocol)
    assert parse_scenario(dump_scenario(one)) == one


def test_training_wins_where_both_speak():
    told = scenario(training="clients_per_round: 20, over_select: 1.0, deadline: 1 h")
    assert (told.cohort, told.asked, told.deadline_s) == (20, 20, 3600.0)
    silent = scenario("{selection: {goal: 30}}", training="evaluate_every: 1")
    assert (silent.cohort, silent.asked, silent.deadline_s) == (30, 39, 270.0)
    alone = scenario("none", training="evaluate_every: 1")
    assert (alone.cohort, alone.asked, alone.deadline_s) == (10, 10, None)


def test_asynchronous_servers_have_no_cohort_to_select():
    one = scenario(training="strategy: {name: fedbuff, buffer: 5, concurrency: 8}")
    assert (one.cohort, one.asked, one.deadline_s) == (8, 8, None)


def test_a_round_closes_and_counts_as_the_protocol_says():
    rounds = policy(scenario(), 10)
    assert (rounds.first, rounds.deadline_s, rounds.least_share, rounds.server_time_s) == (10, 270.0, 0.8, 5.0)
    instant = policy(scenario("none"), None)
    assert (instant.first, instant.deadline_s, instant.least_share, instant.server_time_s) == (None, np.inf, 0.0, 0.0)


@pytest.mark.parametrize(
    ("protocol", "training", "said"),
    [
        ("production", "evaluate_every: 1", "fleet.protocol: got the goal of 500 replies in a round"),
        ("google", "clients_per_round: 5", "'google'"),
        ("3", "clients_per_round: 5", "expected none, production, or keys of production"),
        ("{check_in: {refused: 100 %}}", "clients_per_round: 5", "refused"),
        ("{min_gap: 24}", "clients_per_round: 5", "without a unit"),
        ("{gap: 24 h}", "clients_per_round: 5", "gap"),
        ("{check_in: {full: [5 min, 1 min]}}", "clients_per_round: 5", "ends before it begins"),
        ("{start_up: {median: 8 s}}", "clients_per_round: 5", "do not rise in this order"),
        ("{selection: {least: 140 %}}", "clients_per_round: 5", "expected more than 0 % and at most 100 %"),
    ],
)
def test_mistakes_are_told_with_their_remedy(protocol, training, said):
    with pytest.raises(FedliteError) as caught:
        scenario(protocol, training)
    assert said in str(caught.value)
    assert "; " in str(caught.value)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    said = []
    done = run(scenario(), out=folder / "a", settings=Settings("local"), progress=said.append)
    again = run(scenario(), out=folder / "b", settings=Settings("local"))
    return done, again, said


def test_the_same_campaign_has_the_same_digest(campaign):
    done, again, _ = campaign
    assert done.summary["digest"] == again.summary["digest"]
    instant = run(scenario("none"), out=done.path.parent / "c", settings=Settings("local"))
    assert instant.summary["digest"] != done.summary["digest"]
    assert instant.summary["calendar"] is None
    assert (instant.rounds["check_ins"] == 0).all()


def test_rounds_and_check_ins_add_up_to_the_summary_and_to_what_was_told_on_the_way(campaign):
    done, _, said = campaign
    told = done.summary["calendar"]
    assert done.rounds["check_ins"].sum() == told["check_ins"] > 30
    for name in ("energy_j", "energy_low_j", "energy_high_j", "up_bytes", "down_bytes"):
        assert done.rounds[name].sum() == pytest.approx(done.summary[name], rel=1e-9)
    assert said[-1].energy_j == pytest.approx(done.summary["energy_j"], rel=1e-9)
    assert done.summary["energy_j"] == pytest.approx(done.clients["energy_j"].sum() + told["check_in_j"])
    assert done.summary["energy_low_j"] < done.summary["energy_j"] < done.summary["energy_high_j"]


def test_the_calendar_tells_what_the_ledger_has(campaign):
    done, _, _ = campaign
    told, jobs = done.summary["calendar"], done.clients
    assert told["lasted_s"] == done.summary["virtual_time_s"] > 60.0
    assert told["participations"]["mean"] == pytest.approx(len(jobs) / 200)
    assert told["participations"]["most"] == jobs.group_by("device").len()["len"].max()
    heard = jobs.filter(pl.col("outcome").is_in(["arrived", "surplus", "late"]))["device"].n_unique()
    assert told["never_heard"] == pytest.approx(1 - heard / 200)
    assert sum(told["check_ins_by_hour"]) == told["check_ins"]
    rounds_per_hour = np.array(told["rounds_per_hour"], dtype=np.float64)
    hour = int(done.rounds["end_s"][-1] % DAY_S // 3600)
    assert rounds_per_hour[hour] > 0
    assert np.isnan(rounds_per_hour[12])
    # Charging is a rule here: what the campaign takes, the chargers pay.
    assert told["battery_j"] == {"mean": 0.0, "p95": 0.0}


def test_every_device_and_class_has_its_check_ins(campaign):
    done, _, _ = campaign
    told = done.summary["calendar"]
    of_devices = pl.read_parquet(done.path / "check_ins.parquet")
    assert len(of_devices) == 200
    for table in (of_devices, done.fleet):
        assert table["check_ins"].sum() == told["check_ins"]
    assert of_devices["energy_j"].sum() == pytest.approx(told["check_in_j"])
    assert done.fleet["check_in_j"].sum() == pytest.approx(told["check_in_j"])
    assert of_devices["in_vain"].sum() == told["check_ins_in_vain"]


def test_a_fleet_of_which_too_few_are_ever_let_in_is_told_so_at_once(tmp_path):
    closed = scenario("{check_in: {refused: 90 %}}", "clients_per_round: 50", devices=100, availability="always")
    with pytest.raises(FleetExhaustedError, match=r"at virtual time 20 h \(\d\d refused by the server\)"):
        run(closed, out=tmp_path / "run", settings=Settings("local"))


def test_two_of_three_devices_are_enough_and_meet_in_a_night(tmp_path):
    few = scenario("production", "clients_per_round: 3", devices=3)
    done = run(few, out=tmp_path / "run", settings=Settings("local"))
    assert done.summary["virtual_time_s"] < 8 * DAY_S
    assert done.rounds["check_ins"].sum() < 600


def test_users_on_battery_and_on_paid_networks_are_told_what_it_costs_them(tmp_path):
    protocol = "{min_gap: 30 min, check_in: {every: 10 min}}"
    one = scenario(protocol).model_dump(by_alias=True, exclude_none=True)
    one["fleet"] |= {"rules": {"charging": False, "unmetered": False, "idle": False}}
    done = run(parse_scenario(dump(one)), out=tmp_path / "run", settings=Settings("local"))
    told, jobs = done.summary["calendar"], done.clients
    came = pl.read_parquet(done.path / "check_ins.parquet")
    assert came["battery_j"].sum() > 0
    assert told["battery_j"]["mean"] * 200 == pytest.approx(jobs["battery_j"].sum() + came["battery_j"].sum())
    assert told["battery_j"]["p95"] > told["battery_j"]["mean"]
    assert told["metered_bytes"]["mean"] * 200 == pytest.approx(done.summary["metered_bytes"])
    assert (
        done.summary["metered_bytes"]
        > jobs.filter("metered").select(pl.col("up_bytes") + pl.col("down_bytes")).sum().item()
    )


@pytest.mark.parametrize(
    ("lasted_s", "times", "rows"),
    [
        (DAY_S / 2, (1.0, 1.0), ("Battery per user", "Paid traffic per user")),
        (2 * DAY_S, (3.5, 15.0), ("Battery per user and week", "Paid traffic per user and month")),
    ],
)
def test_weeks_and_months_are_told_of_runs_of_a_day_and_more(campaign, lasted_s, times, rows):
    told = dict(campaign[0].summary["calendar"]) | {
        "lasted_s": lasted_s,
        "battery_j": {"mean": 2.0, "p95": 4.0},
        "battery_share": {"mean": 0.01, "p95": 0.02},
        "metered_bytes": {"mean": 1000.0, "p95": 2000.0},
    }
    shown = {row[0]: row[1:] for row in for_users(told, float("nan")).rows}
    week, month = times
    assert shown[rows[0]] == (
        f"{quantity(2.0 * week, 'energy')} ({percent(0.01 * week, 2)})",
        f"{quantity(4.0 * week, 'energy')} ({percent(0.02 * week, 2)})",
    )
    assert shown[rows[1]] == (quantity(1000.0 * month, "bytes"), quantity(2000.0 * month, "bytes"))


def test_a_comparison_tells_what_check_ins_take_of_the_energy(campaign, tmp_path):
    done, _, _ = campaign
    instant = run(scenario("none"), out=tmp_path / "run", settings=Settings("local"))
    runs = [read_run(done.path), read_run(instant.path)]
    table = totals_table(run_sets.totals(runs, ["a", "b"]), runs[0].main)
    share = done.summary["calendar"]["check_in_j"] / done.summary["energy_j"]
    place = table.head.index("Check-ins")
    assert [row[place] for row in table.rows] == [percent(share, 0), percent(0.0, 0)]
    assert "Check-ins" not in totals_table(run_sets.totals(runs[1:], ["b"]), runs[1].main).head


def test_the_page_and_the_terminal_show_the_calendar(campaign):
    done, _, _ = campaign
    page = run_page(read_run(done.path))
    chapter = next(section for section in page.sections if section.id == "calendar")
    figure, users = chapter.present()
    assert figure.views[1].traces[0]["y"] == done.summary["calendar"]["check_ins_by_hour"]
    assert [row[0] for row in users.rows][:3] == [
        "Time until the target",
        "Jobs per device",
        "Battery per user",
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(done.path))
    assert "Never did a job, of those that may" in console.export_text()
