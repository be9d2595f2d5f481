"""The table of rounds adds up to the run."""

from __future__ import annotations

import polars as pl
import pytest

from fedlite.fleet import outcomes
from fedlite.report.run_data import read_run
from fedlite.report.same_result import all_reached
from fedlite.report.tables import learning_curve
from fedlite.results import rounds as rounds_module
from fedlite.results.rounds import Rounds
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

FEDBUFF = """
name: tiny
fleet: {devices: 12, mix: {pixel-8: 1, redmi-note-4: 1}}
task: {data: digits, model: mlp}
training:
  strategy: {name: fedbuff, buffer: 2, concurrency: 8}
  rounds: 3
"""


def test_rounds_add_up_to_the_ledger_when_devices_are_at_work_at_the_end(tmp_path):
    done = run(parse_scenario(FEDBUFF), out=tmp_path / "run", settings=Settings("local"))
    assert done.summary["outcomes"]["unheard"] > 0
    train = done.clients.filter(pl.col("kind") == "train")
    for name in ("energy_j", "up_bytes", "down_bytes"):
        assert done.rounds[name].sum() == pytest.approx(train[name].sum())
    assert done.rounds["selected"].sum() == len(train)
    assert done.rounds["surplus"].sum() == done.summary["outcomes"]["unheard"]


@pytest.mark.parametrize("strategy", ["{name: fedbuff, buffer: 2, concurrency: 8}", "{name: fedasync, concurrency: 8}"])
def test_what_a_result_had_cost_lies_in_its_band_and_is_what_was_told_on_the_way(tmp_path, strategy):
    said = []
    scenario = parse_scenario(FEDBUFF.replace("{name: fedbuff, buffer: 2, concurrency: 8}", strategy))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"), progress=said.append)
    # Jobs of one step that are booked in another, and jobs that are under way at the end, make the difference.
    assert (done.clients["round"] != 3).any()
    assert done.summary["outcomes"]["unheard"] > 0
    assert said[-1].energy_j == pytest.approx(done.summary["energy_j"], rel=1e-12)
    assert (said[-1].round_, said[-1].virtual_time_s) == (done.summary["rounds"], done.summary["virtual_time_s"])
    read = read_run(tmp_path / "run")
    curve = learning_curve(read.rounds, read.main)
    for name in ("energy_j", "energy_low_j", "energy_high_j"):
        assert curve[name][-1] == pytest.approx(done.summary[name])
    even = all_reached([read, read], ["a", "b"])
    for frame in (curve, even):
        assert frame.height
        assert (frame["energy_low_j"] <= frame["energy_j"]).all()
        assert (frame["energy_j"] <= frame["energy_high_j"]).all()


OVER_SELECTED = """
name: tiny
fleet: {devices: 12, mix: {pixel-8: 1, redmi-note-4: 1}}
task: {data: digits, model: mlp}
training: {rounds: 3, clients_per_round: 4, over_select: 1.5}
"""


def test_rounds_tell_who_was_not_needed_from_who_was_late(tmp_path):
    wanted = run(parse_scenario(OVER_SELECTED), out=tmp_path / "goal", settings=Settings("local"))
    assert wanted.summary["outcomes"] == {"arrived": 12, "surplus": 6}
    length_s = float((wanted.clients["end_s"] - wanted.clients["start_s"]).min())
    hurried = OVER_SELECTED.replace("over_select: 1.5", f"deadline: {1.05 * length_s} s")
    late = run(parse_scenario(hurried), out=tmp_path / "deadline", settings=Settings("local"))
    assert late.summary["outcomes"]["late"] > 0
    assert "surplus" not in late.summary["outcomes"]
    for done, name in ((wanted, "surplus"), (late, "late")):
        assert done.rounds[name].sum() == done.summary["outcomes"][name]
        ended = done.rounds["arrived"] + done.rounds["late"] + done.rounds["surplus"] + done.rounds["failed"]
        assert ended.to_list() == done.rounds["selected"].to_list()


def test_the_table_of_rounds_and_the_fleet_mean_the_same_by_not_needed():
    assert tuple(outcomes.NOT_NEEDED) == rounds_module.NOT_NEEDED


def test_nothing_is_settled_where_no_round_was_closed():
    rounds = Rounds(("accuracy", "loss", "macro_f1"))
    rounds.settle({}, {})
    assert rounds.rows == []


BIG_BATCH = """
name: tiny
fleet: {devices: 10, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 1, local: {batch_size: 1000000}}
"""


def test_a_batch_beyond_the_clients_rows_takes_no_more_memory_than_the_rows(tmp_path):
    whole = run(parse_scenario(BIG_BATCH), out=tmp_path / "big", settings=Settings("local"))
    most = parse_scenario(BIG_BATCH.replace("1000000", str(int(whole.clients["examples"].max()))))
    exact = run(most, out=tmp_path / "exact", settings=Settings("local"))
    assert whole.fleet["peak_bytes"].to_list() == exact.fleet["peak_bytes"].to_list()
    assert whole.summary["energy_j"] == exact.summary["energy_j"]
