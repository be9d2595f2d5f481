"""`fedlite init` writes a scenario for any fleet, data and goal, and each of them runs."""

from __future__ import annotations

import itertools
import sys

import pytest
from typer.testing import CliRunner

from fedlite import run
from fedlite.cli import init as command
from fedlite.cli.main import app
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.runner import Settings
from fedlite.scenario.loader import load_scenario, parse_scenario
from fedlite.scenario.starter import DATA, FLEETS, GOALS, starter

EVERY = list(itertools.product(FLEETS, DATA, GOALS))
TINY = {"training.rounds": "1", "fleet.devices": "4", "training.clients_per_round": "4", "training.local.epochs": "1"}


def test_every_combination_is_a_scenario_in_order():
    for fleet, data, goal in EVERY:
        scenario = parse_scenario(starter(fleet, data, goal), f"{fleet} {data} {goal}")
        assert scenario.task.data == data
        assert (scenario.privacy.mechanism != "none") == (goal == "privacy")
        assert (scenario.wire.up[0] == "topk:0.05") == (goal == "bytes")
        assert ("watch-wear-4100" in scenario.fleet.mix) == (fleet == "watches")
        # Half of the net saves no energy to an accuracy; three replies a round do (benchmarks/starters).
        assert 0.5 not in {rule.plan.width for rule in scenario.clients}
        assert (scenario.training.clients_per_round == 3) == (goal == "energy")
    assert len(EVERY) == 36


@pytest.mark.parametrize(("fleet", "goal"), [("phones", "privacy"), ("iot-mix", "energy")])
def test_what_it_writes_runs(fleet, goal, tmp_path):
    path = command.write_starter(tmp_path / "mine.yaml", fleet, "digits", goal)
    done = run(load_scenario(path, TINY), out=tmp_path / "out", settings=Settings("local"))
    assert done.summary["outcomes"]["arrived"] == 4


def test_flags_are_taken_and_unknown_ones_told(tmp_path):
    told = CliRunner().invoke(
        app, ["init", "--fleet", "watches", "--goal", "bytes", "--out", str(tmp_path / "my.yaml")]
    )
    assert told.exit_code == 0, told.output
    assert load_scenario(tmp_path / "my.yaml").name == "watches-digits-bytes"
    with pytest.raises(UnknownNameError, match="--goal: got 'speed', expected one of accuracy, bytes, energy, privacy"):
        command.write_starter(tmp_path / "other.yaml", goal="speed")
    with pytest.raises(FedliteError, match="expected one file"):
        command.init(tmp_path / "a", out=tmp_path / "b")
    with pytest.raises(FedliteError, match="which are of scenarios"):
        command.init(tmp_path / "a", fleet="phones", app=True)


def test_an_app_is_told_with_the_fleet_that_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command.init(command.Path("a"), app=True)
    assert "Next: fedlite init scenario.yaml && fedlite app a --fleet scenario.yaml" in capsys.readouterr().out
    command.init()
    command.init(command.Path("b"), app=True)
    assert "Next: fedlite app b --fleet scenario.yaml" in capsys.readouterr().out


def test_a_person_is_asked_for_what_was_not_told(tmp_path, monkeypatch):
    answers = iter(["iot-mix", "energy"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: next(answers))
    command.init(tmp_path / "a.yaml", data="watch")
    assert load_scenario(tmp_path / "a.yaml").name == "iot-mix-watch-energy"
    assert next(answers, None) is None
