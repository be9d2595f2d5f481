"""A net that grows: which stage a round trains, what that leaves alone, saves and costs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fedlite.client.assignment import ByProfile, Noted
from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import quantities
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compression.part import PartError, made
from fedlite.compression.plan import Plan
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.depth import Depth
from fedlite.compression.structure.growing import Growing
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.techniques.technique import Recipe


def test_a_block_is_added_every_so_many_rounds_and_the_last_stage_stays():
    grows = Growing(3, every=2)
    assert [grows.at(round_, 0).blocks for round_ in range(1, 8)] == [1, 1, 2, 2, 3, 3, 3]
    assert Growing(3, every=2, first=2).at(1, 7) == Depth(2)


def test_a_plan_is_asked_what_it_is_in_a_round():
    still, grows = Plan("still", Depth(2)), Plan("grows", Growing(2, every=1))
    assert still.at(1, 0) is still
    assert (grows.at(1, 1).name, grows.at(1, 1).structure) == ("grows", Depth(1))
    assert grows.at(2, 1).structure == Depth(2)


def test_who_notes_plans_notes_what_they_are_in_the_round():
    """FedDF asks each reply in the net that its device had trained."""
    noted = Noted(ByProfile([Plan("grows", Growing(2, every=1))], np.array([0, 0])))
    for round_, blocks in ((1, 1), (2, 2)):
        noted.plans(np.array([1]), round_, 0.0)
        assert noted.last[1].structure == Depth(blocks)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": 1}, "first: got 1 of 1 blocks, expected 1 or more and fewer than all"),
        ({"blocks": 3, "first": 0}, "first: got 0 of 3 blocks"),
        ({"blocks": 3, "every": 0}, "every: got 0, expected 1 or more"),
    ],
)
def test_growth_that_is_none_is_refused(options, text):
    with pytest.raises(PartError, match=text):
        made("growing", options, STRUCTURES, Structure)


SCENARIO = """
name: growth
seed: 3
fleet:
  devices: 6
  mix: {pixel-4: 1}
  rules: {charging: false, unmetered: false, idle: false}
task:
  data: digits
  clients: 6
  partition: iid
  model: {name: cnn-exits, options: {channels: [8, 16], pools: [2, 2]}}
training:
  rounds: ROUNDS
  clients_per_round: 6
  local: {epochs: 2, batch_size: 16, lr: 0.1}
clients:
  - for: any
    plan: {structure: {name: growing, blocks: 2, every: 4}}
"""


def finished(tmp_path, rounds):
    out = tmp_path / str(rounds)
    done = run(parse_scenario(SCENARIO.replace("ROUNDS", str(rounds))), out=out, settings=Settings("local"))
    return done, RunDirectory(out).read_model()


def test_early_rounds_leave_the_later_blocks_alone_and_cost_less(tmp_path):
    _, first = finished(tmp_path, 1)
    _, early = finished(tmp_path, 4)
    ten, whole = finished(tmp_path, 10)
    moved = {name for name in early if not np.array_equal(early[name], first[name])}
    assert moved == {name for name in early if name.startswith(("blocks.0.", "heads.0."))}
    later = {name for name in whole if not np.array_equal(whole[name], early[name])}
    assert later == {name for name in whole if name.startswith(("blocks.", "heads.1."))}
    jobs = ten.clients.group_by("round").agg(pl.col("up_bytes").max(), pl.col("train_s").mean()).sort("round")
    small, large = jobs.filter(pl.col("round") <= 4), jobs.filter(pl.col("round") > 4)
    assert small["up_bytes"].max() < 0.7 * large["up_bytes"].min()
    assert small["train_s"].max() < large["train_s"].min()
    assert len(jobs) == 10
    assert set(ten.clients["plan"]) == {"growing to 2"}
    assert ten.rounds["accuracy"][-1] > 0.8


def test_the_bench_charges_the_mean_of_the_stages_and_room_for_the_last():
    effort = Effort(rows=200, epochs=1, rounds=4)
    bench, board = Bench("cnn-exits", bench_task("digits", ("cnn-exits",), effort), effort), load_profile("pi-4b")
    grown, *stages = (
        quantities(bench.run([Recipe(Plan(structure=part))]), board, effort.batch)
        for part in (Growing(3, every=1), Depth(1), Depth(2), Depth(3), Depth(3))
    )
    for key in ("up_bytes", "down_bytes"):
        assert grown[key] == pytest.approx(np.mean([stage[key] for stage in stages]), abs=1)
    steps = [stage["training_step_ms"]["value"] for stage in stages]
    assert grown["training_step_ms"]["value"] == pytest.approx(np.mean(steps))
    assert steps[0] < steps[1] < steps[2]
    for key in ("peak_memory_bytes", "stored_bytes", "params", "macs", "latency_ms"):
        assert grown[key] == stages[-1][key]
