"""Plans side by side."""

from __future__ import annotations

import json
import math

from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose.rollout_worker import RehearsalWorker
from fedlite.engine.task import Task
from fedlite.rollout.ranking import Standing, ranked, standing
from fedlite.rollout.summary import JUDGED, judged, of_world
from fedlite.scenario.rollout.loading import dump_rollout, parse_rollout
from tests.unit.rollout.test_rollout_command import PLAN, made, priced


def stands(name, time_s=1.0, blast=1.0, delivery_j=1.0, metered=0.0):
    return Standing(name, time_s, blast, 1.0, 0.0, delivery_j, metered)


def test_faster_comes_first_and_who_is_beaten_in_everything_is_told():
    found = ranked([stands("slow", 3.0, 1.0), stands("worst", 3.0, 2.0), stands("fast", 1.0, 9.0)])
    assert [(one.name, unbeaten) for one, unbeaten in found] == [("fast", True), ("slow", True), ("worst", False)]


def test_equal_plans_do_not_beat_each_other_and_never_is_last():
    found = ranked([stands("b"), stands("a"), stands("never", math.inf)])
    assert [(one.name, unbeaten) for one, unbeaten in found] == [("a", True), ("b", True), ("never", False)]


def test_a_standing_takes_the_worst_of_the_worlds():
    def world(detect, time_s, blast, joules):
        return {
            "p_detect": detect, "p_false_abort": None if detect is not None else 0.02,
            "time_to_95_of_reachable_s": {"p50": time_s}, "blast_radius": {"devices": {"p95": blast}},
            "energy": {"delivery_j": {"p50": joules}}, "bytes": {"metered": {"p50": joules}},
        }  # fmt: skip

    told = standing(
        {"name": "x", "worlds": [world(None, 5.0, 0.0, 9.0), world(0.8, None, 40.0, 1.0), world(0.9, None, 70.0, 2.0)]}
    )
    assert told == Standing("x", 5.0, 70.0, 0.8, 0.02, 9.0, 9.0)


def test_a_search_judges_as_a_summary_does():
    told = made()
    worker = RehearsalWorker({}, dump_rollout(parse_rollout(PLAN)), [one.record for one in priced(PLAN)])
    runs = [worker.run(Task("rehearse", {"world": i, "first": 0, "last": 3}, {}), {}).arrays for i in range(2)]
    whole = [
        of_world(world, told.plan.watches, run, told.profiles, told.devices, told.plan.assigned.names)
        for world, run in zip(told.worlds, runs, strict=True)
    ]
    parts = [judged(world, {name: run[name] for name in JUDGED}) for world, run in zip(told.worlds, runs, strict=True)]
    assert standing({"worlds": parts}, "x") == standing({"worlds": whole}, "x")


def test_the_command_compares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(PLAN)
    (tmp_path / "b.yaml").write_text(
        PLAN.replace("name: small", "name: bold").replace("setWeight: 10 %", "setWeight: 60 %")
    )
    done = CliRunner().invoke(app, ["rollout", "--compare", "a.yaml", "b.yaml", "--backend", "local", "--json"])
    assert done.exit_code == 0, done.output
    plans = {one["name"]: one for one in json.loads(done.stdout)["plans"]}
    assert plans["bold"]["blast_devices"] > 3 * plans["small"]["blast_devices"]
    assert CliRunner().invoke(app, ["rollout", "a.yaml", "b.yaml"]).exit_code != 0
