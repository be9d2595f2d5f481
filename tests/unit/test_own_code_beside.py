"""Code of the user's own is found beside the scenario that names it, and what is missing is told with the places."""

from __future__ import annotations

import sys

import pytest

from fedlite import own_code, resume, run
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.runner import Settings
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_scenario, parse_scenario

LOCAL = Settings(backend="local")
SCENARIO = """
name: own
fleet: {devices: 4, mix: {pixel-8: 1.0}}
task: {data: digits, model: "beside_net:net", clients: 6}
training: {rounds: 3, clients_per_round: 4, local: {epochs: 1, batch_size: 64, lr: 0.1}}
"""
NET = """
from torch import nn
from beside_helper import HIDDEN

def net(input_shape, num_classes, width=1.0, seed=0):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_classes))
"""


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("_folders", "_added", "_beside"):
        monkeypatch.setattr(own_code, name, [])
    yield
    for name in ("beside_net", "beside_helper"):
        sys.modules.pop(name, None)


def scenario_in(folder, hidden=8, more=""):
    folder.mkdir(exist_ok=True)
    (folder / "beside_net.py").write_text(NET, encoding="utf-8")
    (folder / "beside_helper.py").write_text(f"HIDDEN = {hidden}\n", encoding="utf-8")
    (folder / "own.yaml").write_text(SCENARIO + more, encoding="utf-8")
    return folder / "own.yaml"


def test_code_that_is_called_like_something_installed_is_told_to_be_renamed(tmp_path):
    (tmp_path / "statistics.py").write_text(NET)
    (tmp_path / "own.yaml").write_text(SCENARIO.replace("beside_net:net", "statistics:net"))
    with pytest.raises(FedliteError, match=rf"statistics.py and not the one in {tmp_path}: rename yours"):
        load_scenario(tmp_path / "own.yaml")


def test_a_run_finds_its_code_and_goes_on_from_anywhere(tmp_path, monkeypatch):
    path = scenario_in(tmp_path / "a")

    def stop(now):
        if now.round_ == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, out=tmp_path / "out", settings=LOCAL, progress=stop)
    # As a new process elsewhere would: nothing is on the path, and only the run's directory says where the code is.
    sys.path[:] = [place for place in sys.path if place != str(tmp_path / "a")]
    for state in (own_code._folders, own_code._added):
        state.clear()
    for name in ("beside_net", "beside_helper"):
        sys.modules.pop(name)
    monkeypatch.chdir("/")
    helper = tmp_path / "a/beside_helper.py"
    helper.write_text("HIDDEN = 9\n", encoding="utf-8")
    with pytest.raises(FedliteError, match=r"beside_helper\.py was edited"):
        resume(tmp_path / "out", settings=LOCAL)
    helper.write_text("HIDDEN = 8\n", encoding="utf-8")
    sys.modules.pop("beside_helper", None)
    sys.modules.pop("beside_net", None)
    assert resume(tmp_path / "out", settings=LOCAL).summary["rounds"] == 3


def test_the_resolved_scenario_says_where_its_code_is(tmp_path):
    scenario = load_scenario(scenario_in(tmp_path / "a"))
    assert scenario.modules == (str(tmp_path / "a"),)
    assert parse_scenario(dump_scenario(scenario)) == scenario


def test_modules_names_another_folder_which_goes_first(tmp_path):
    scenario_in(tmp_path / "common", hidden=16)
    path = scenario_in(tmp_path / "a", hidden=8, more="modules: [../common]\n")
    load_scenario(path)
    assert own_code.load("beside_helper:HIDDEN") == 16


def test_code_of_the_same_name_beside_another_scenario_is_not_taken_for_it(tmp_path):
    one, other = scenario_in(tmp_path / "a", 8), scenario_in(tmp_path / "b", 16)
    load_scenario(one)
    assert own_code.load("beside_helper:HIDDEN") == 8
    load_scenario(other)
    assert own_code.load("beside_helper:HIDDEN") == 16


def test_a_run_has_the_code_of_its_own_scenario_whichever_was_read_last(tmp_path):
    from fedlite.compose.learning import prepare

    one = load_scenario(scenario_in(tmp_path / "a", 8))
    load_scenario(scenario_in(tmp_path / "b", 16))
    assert prepare(one).arrays[0].shape == (8, 64)


def test_only_folders_with_code_that_is_named_are_put_on_the_path_and_last(tmp_path):
    before = list(sys.path)
    path = tmp_path / "own.yaml"
    path.write_text(SCENARIO.replace("beside_net:net", "mlp"), encoding="utf-8")
    (tmp_path / "other.py").write_text("", encoding="utf-8")
    assert load_scenario(path).modules == ()
    assert sys.path == before
    load_scenario(scenario_in(tmp_path))
    assert sys.path == [*before, str(tmp_path)]


def test_what_is_nowhere_is_told_with_the_places(tmp_path):
    path = scenario_in(tmp_path)
    (tmp_path / "beside_net.py").unlink()
    with pytest.raises(InvalidFileError) as caught:
        load_scenario(path)
    assert f"No module named 'beside_net', looked for in {tmp_path} and on PYTHONPATH" in str(caught.value)
    assert "put it beside the scenario" in str(caught.value)
