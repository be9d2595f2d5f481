"""The Python API: what `fedlite.run` gives back, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest

import fedlite
from fedlite import Settings, load_run, resume
from fedlite.errors import FedliteError, UnknownNameError

TINY = """
name: tiny
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 2, clients_per_round: 3}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    (folder / "tiny.yaml").write_text(TINY)
    return fedlite.run(str(folder / "tiny.yaml"), out=str(folder / "run"), settings=Settings("local"))


def test_a_run_holds_its_tables(done):
    assert done.rounds["round"].to_list() == [0, 1, 2]
    assert (len(done.clients), len(done.evaluation), len(done.fleet)) == (6, 6, 1)
    assert resume(str(done.path)).summary == done.summary


def test_a_finished_run_is_opened_again_and_what_is_none_is_told(done, tmp_path):
    assert load_run(str(done.path)).summary == done.summary
    with pytest.raises(FedliteError, match="no such run directory"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "scenario.yaml").write_text(TINY)
    with pytest.raises(FedliteError, match=r"summary\.json: no such file.*--resume"):
        load_run(tmp_path)


def test_every_exported_name_is_there_and_on_the_page_of_the_api():
    page = (Path(__file__).parents[2] / "docs/reference/python-api.md").read_text()
    names = set(fedlite.__all__) - {"__version__"}
    assert names >= {"Settings", "load_run", "load_scenario", "resume", "run", "sweep"}
    for name in names:
        assert callable(getattr(fedlite, name))
        assert f"`{name}(" in page
    assert names <= set(dir(fedlite))


def test_every_view_of_every_figure_is_drawn_and_the_first_is_the_accuracy(done):
    for name, figure in done.figures.items():
        for view in range(len(figure.views)):
            assert isinstance(done.plot(name, view), go.Figure)
    assert "accuracy" in done.plot().to_json().lower()


def test_a_figure_or_view_that_there_is_not_is_told(done):
    with pytest.raises(UnknownNameError, match="expected one of energy"):
        done.plot("nothing")
    with pytest.raises(FedliteError, match="view: got 99, expected 0 to"):
        done.plot("learning", 99)


def test_what_is_no_scenario_is_told(tmp_path):
    with pytest.raises(FedliteError, match="got no file to read"):
        fedlite.run(tmp_path / "none.yaml")
    with pytest.raises(FedliteError, match="actors: got 0, expected 1 or more"):
        Settings("ray", 0)
