"""Plans side by side, and the search for a faster one that is safe enough."""

from __future__ import annotations

import json
import math

import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.compose.rollout_search import Allowed, Candidate, search
from fedlite.errors import FedliteError
from fedlite.rollout.ranking import Standing, ranked, standing
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout
from fedlite.units import DAY_S, HOUR_S
from tests.unit.rollout.test_rollout_command import PLAN


def stands(name, time_s=1.0, blast=1.0, delivery_j=1.0, metered=0.0):
    return Standing(name, time_s, blast, 1.0, 0.0, delivery_j, metered)


def made(text=PLAN):
    plan = parse_rollout(text)
    return rehearsed(plan, variants(plan.model, [load_profile(name) for name in plan.fleet.mix]))


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


def test_a_candidate_is_a_list_of_growing_shares():
    stages = Candidate.grown(0.05, 4.0, DAY_S).stages(("installs",))
    assert [stage.share for stage in stages] == [0.05, 0.2, 0.8, 1.0]
    assert [stage.hold_s for stage in stages] == [DAY_S, DAY_S, DAY_S, 0.0]
    assert {stage.analyses for stage in stages} == {("installs",)}
    steps = Candidate.grown(0.1, 1000.0, 6 * HOUR_S).steps
    assert steps == [{"setWeight": "10 %"}, {"pause": {"duration": "6 h"}}, {"setWeight": "100 %"}]


def test_the_search_finds_the_fastest_plan_that_is_safe_enough():
    told = made()
    tight, loose = (search(told, Allowed(blast, 0.9), 700)[0] for blast in (15.0, 60.0))
    assert tight.standing.blast_devices <= 15.0
    assert loose.standing.blast_devices <= 60.0
    assert loose.standing.time_s <= tight.standing.time_s
    assert loose.candidate.shares[0] > tight.candidate.shares[0]
    assert tight.standing.detect == 1.0
    assert tight.rehearsals > 2
    again = search(told, Allowed(15.0, 0.9), 700)[0]
    assert again == tight


def test_the_plan_itself_is_tried_and_nothing_slower_is_offered():
    told = made(PLAN.replace("duration: 1 d", "duration: 3 h").replace("every: 6 h", "every: 1 h"))
    own = Candidate.of_plan(told.plan.strategy)
    assert (own.shares, own.holds_s) == ((0.1, 1.0), (10_800.0, 0.0))
    found = search(told, Allowed(1000.0, 0.5), 800)
    only_own = next((one for one in search(told, Allowed(25.0, 0.9), 800) if one.candidate == own), None)
    assert found[0].standing.time_s <= 3 * HOUR_S
    assert only_own is not None
    assert only_own.candidate.name == "as planned"


def test_a_search_needs_a_bad_world_and_rehearsals_enough():
    with pytest.raises(FedliteError, match="expected one to be safe from"):
        search(made(PLAN[: PLAN.index("worlds:")]), Allowed(5.0, 0.9), 1000)
    with pytest.raises(FedliteError, match="--rehearsals: got 10, expected"):
        search(made(), Allowed(5.0, 0.9), 10)


def test_the_commands_compare_and_optimise(tmp_path, monkeypatch):
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
    found = CliRunner().invoke(app, ["rollout", "optimise", "a.yaml", "--blast", "20", "--rehearsals", "600", "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["found"] is True
    assert told["plans"][0]["blast_devices"] <= 20
    steps = "\n".join(f"    - {json.dumps(step)}" for step in told["steps"])
    head, tail = PLAN.split("  steps:")[0], PLAN[PLAN.index("gates:") :]
    # What it says can be pasted into the plan.
    parse_rollout(f"{head}  steps:\n{steps}\n{tail}")
