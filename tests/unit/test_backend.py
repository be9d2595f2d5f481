"""Which backend `auto` takes: by the work of a round and of the run, and it says so."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fedlite import runner
from fedlite.compose import backend, campaign
from fedlite.compose.backend import ROUND_MACS, RUN_MACS, Load, choose
from fedlite.compose.scenario_campaign import ScenarioCampaign
from fedlite.engine.chunks import cut
from fedlite.errors import FedliteError
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: work
seed: 3
fleet: {devices: 30, mix: {pixel-4: 2, pi-4b: 1}, availability: always}
task: {data: digits, clients: 30, model: {name: mlp}}
training: {rounds: 2, clients_per_round: 6, local: {epochs: 2, batch_size: 8, lr: 0.1}}
"""
MUCH = Load(ROUND_MACS, int(RUN_MACS / ROUND_MACS) + 1)


def wanted(name="auto", actors=None, ray_address=None):
    return SimpleNamespace(backend=name, actors=actors, ray_address=ray_address)


@pytest.mark.parametrize(
    ("load", "processors", "chosen", "why"),
    [
        (MUCH, 2, "ray", "per round"),
        (MUCH, 1, "local", "one processor"),
        (Load(ROUND_MACS * 0.999, 10**9), 64, "local", "per round are fewer"),
        (Load(ROUND_MACS, int(RUN_MACS / ROUND_MACS) - 1), 64, "local", "in all are fewer"),
        (None, 2, "ray", "app"),
        (None, 1, "local", "one processor"),
    ],
)
def test_auto_takes_ray_where_round_and_run_are_work_enough(load, processors, chosen, why):
    choice = choose(wanted(), load, processors)
    assert choice.backend == chosen
    assert why in choice.why


@pytest.mark.parametrize("told", [wanted(actors=1), wanted(ray_address="10.0.0.5:6379")])
def test_actors_or_an_address_mean_ray_however_small_the_work(told):
    assert choose(told, Load(1.0, 1), 1).backend == "ray"


@pytest.mark.parametrize("name", ["ray", "local"])
def test_a_backend_that_is_named_is_taken(name):
    assert choose(wanted(name), MUCH, 1) == backend.Choice(name, "asked for")
    assert choose(wanted(name), Load(1.0, 1), 64) == backend.Choice(name, "asked for")


def test_a_round_below_the_threshold_is_one_chunk():
    """Else a second process would have something to do."""
    assert len(cut([np.arange(100)], [ROUND_MACS * 0.999])) == 1
    assert len(cut([np.arange(100)], [ROUND_MACS])) > 1


def test_the_load_of_a_scenario_is_what_its_average_device_trains():
    prepared = ScenarioCampaign.prepare(parse_scenario(SCENARIO))
    examples = prepared.task.examples.tolist()
    macs = prepared.learning.workload().macs
    assert prepared.load.rounds == 2
    assert prepared.load.round_macs == pytest.approx(3 * macs * 6 * 2 * sum(examples) / len(examples), rel=1e-12)
    half = SCENARIO + "clients: [{for: {profile: pi-4b}, plan: {width: 0.5}}, {for: any, plan: full}]\n"
    assert 0 < ScenarioCampaign.prepare(parse_scenario(half)).load.round_macs < prepared.load.round_macs


def test_a_run_says_which_backend_it_took_and_why_and_gets_the_same_result(tmp_path):
    told = []
    done = runner.run(parse_scenario(SCENARIO), out=tmp_path / "auto", progress=told.append)
    assert runner.Settings().backend == "auto"
    manifest = json.loads((tmp_path / "auto" / "manifest.json").read_text(encoding="utf-8"))
    assert done.summary["backend"] == manifest["backend"] == "local"
    assert "fewer than 800 million" in done.summary["backend_why"]
    assert manifest["backend_why"] == done.summary["backend_why"]
    assert [now.round_ for now in told] == [0, 0, 1, 2]
    assert told[0].doing == f"no Ray: {done.summary['backend_why']}"
    assert not any(now.doing for now in told[1:])
    assert done.summary["backend_why"] in (tmp_path / "auto" / "report.html").read_text(encoding="utf-8")
    named = runner.run(parse_scenario(SCENARIO), out=tmp_path / "local", settings=runner.Settings("local"))
    assert named.summary["digest"] == done.summary["digest"]


def test_that_ray_starts_and_how_long_it_takes_is_told_before_it_does(tmp_path, monkeypatch):
    told = []

    def refuse(*_):
        raise FedliteError("stopped before Ray")

    monkeypatch.setattr(campaign, "open_pool", refuse)
    with pytest.raises(FedliteError, match="stopped before Ray"):
        runner.run(
            parse_scenario(SCENARIO), out=tmp_path / "x", settings=runner.Settings(actors=2), progress=told.append
        )
    assert [now.doing for now in told] == ["starting Ray (4 to 8 s): actors or an address were asked for"]
