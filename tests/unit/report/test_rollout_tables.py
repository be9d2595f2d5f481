"""A rehearsed rollout in the tools of the house: frames, CSV, figures for papers, with the numbers of its files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import fedlite
from fedlite.cli.main import app
from fedlite.compose.finished_rollout import Rollout
from fedlite.compose.rollout_run import rehearse
from fedlite.errors import FedliteError
from fedlite.report.rollout_data import NotARolloutError
from fedlite.runner import Settings
from fedlite.scenario.rollout.loading import parse_rollout
from tests.unit.rollout.test_rollout_command import PLAN

TABLES = ["worlds", "classes", "rehearsals", "coverage", "gates"]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(item) for item in arguments])


@pytest.fixture(scope="module")
def rollout(tmp_path_factory):
    plan = parse_rollout(PLAN.replace("network: mobilenet_v1_0.25", "macs: 4.0e7"))
    return rehearse(plan, out=tmp_path_factory.mktemp("one") / "out", settings=Settings("local"))


def test_a_rollout_is_opened_again(rollout):
    again = fedlite.load_rollout(str(rollout.path))
    assert again == rollout
    assert again.summary == json.loads((rollout.path / "rollout.json").read_text())
    with pytest.raises(NotARolloutError, match="no such directory"):
        fedlite.load_rollout(rollout.path / "nowhere")


def test_a_world_has_the_numbers_of_the_summary_in_one_row(rollout):
    rows = rollout.tables["worlds"].to_dicts()
    assert [row["world"] for row in rows] == ["good", "bad"]
    for row, told in zip(rows, rollout.summary["worlds"], strict=True):
        assert row["time_to_50_s_p50"] == told["time_to_50_s"]["p50"]
        assert row["blast_radius_devices_p95"] == told["blast_radius"]["devices"]["p95"]
        assert row["bytes_unmetered_p5"] == told["bytes"]["unmetered"]["p5"]
        assert row["accuracy_worst_p50"] == told["accuracy"]["worst"]["p50"]
        assert row["tripped_installs"] == told["tripped"]["installs"]
    assert (rows[0]["bad_classes"], rows[1]["bad_classes"]) == ("", "galaxy-a52")
    # What does not exist in a world is null there, and no column of words.
    assert rows[0]["detect_time_s_p50"] is None
    assert rows[1]["detect_time_s_p50"] > 0
    assert rollout.tables["worlds"].schema["detect_time_s_p50"] == pl.Float64


def test_a_class_has_what_it_is_given_or_why_it_has_nothing(rollout):
    found = {(row["world"], row["class"]): row for row in rollout.tables["classes"].to_dicts()}
    assert len(found) == 6
    assert found["good", "pi-4b"]["variant"] == "fp32"
    assert (found["good", "nrf52840"]["variant"], found["good", "nrf52840"]["reason"]) == (None, "no_memory")
    assert found["bad", "galaxy-a52"]["devices"] == rollout.summary["classes"]["galaxy-a52"]
    told = rollout.summary["worlds"][0]["coverage"]["galaxy-a52"]
    assert found["good", "galaxy-a52"]["coverage_p50"] == told["p50"]


@pytest.mark.parametrize(("number", "world", "by"), [(0, "good", None), (1, "bad", "installs")])
def test_every_rehearsal_is_a_row_and_its_stop_is_that_of_its_gate(rollout, number, world, by):
    arrays = load_file(rollout.path / "replications.safetensors")
    frame = rollout.tables["rehearsals"].filter(pl.col("world") == world)
    assert frame["rehearsal"].to_list() == [*range(1, 7)]
    assert frame["blast_devices"].to_list() == arrays[f"{number}/blast_devices"].tolist()
    stops = [None if math.isinf(stop) else stop for stop in arrays[f"{number}/stop_s"].tolist()]
    assert frame["stop_s"].to_list() == stops
    assert set(frame["stopped_by"]) == {by}
    assert all((stop is None) == (by is None) for stop in stops)


def test_coverage_ends_where_the_summary_says(rollout):
    frame = rollout.tables["coverage"]
    last = frame.filter(pl.col("time_s") == rollout.summary["horizon_s"])
    assert len(frame) == len(last) * 241 == 2 * 4 * 241
    for row in last.to_dicts():
        world = next(one for one in rollout.summary["worlds"] if one["name"] == row["world"])
        told = world["covered"] if row["class"] == "fleet" else world["coverage"][row["class"]]
        assert [row[key] for key in ("p5", "p50", "p95")] == pytest.approx([told[key] for key in ("p5", "p50", "p95")])
        assert (row["let_in"] is None) == (row["class"] != "fleet")


def test_a_gate_is_a_row_of_each_wave(rollout):
    told = rollout.summary["gates"]
    frame = rollout.tables["gates"]
    assert frame["power"].to_list() == [gate["power"] for gate in told]
    assert "worlds" not in frame.columns


def test_a_plan_without_gates_has_an_empty_table_of_them(tmp_path):
    gates = PLAN[PLAN.index("gates:") : PLAN.index("worlds:")]
    plan = (
        PLAN.replace(gates, "")
        .replace("    - analysis: [installs]\n", "")
        .replace("replications: 6", "replications: 1")
    )
    found = rehearse(parse_rollout(plan.replace("network: mobilenet_v1_0.25", "macs: 4.0e7")), out=tmp_path / "out",
                     settings=Settings("local")).tables  # fmt: skip
    assert found["gates"].is_empty()
    assert found["rehearsals"]["stopped_by"].to_list() == [None, None]


def test_the_command_line_writes_every_table_as_csv(rollout, tmp_path):
    found = json.loads(invoke("report", rollout.path, "--csv", tmp_path, "--out", tmp_path / "p.html", "--json").stdout)
    assert found["files"] == [str(tmp_path / f"{name}.csv") for name in TABLES]
    assert found["name"] == "small"
    for name, frame in rollout.tables.items():
        assert pl.read_csv(tmp_path / f"{name}.csv", schema=frame.schema).equals(frame, null_equal=True), name
    told = invoke("report", rollout.path, "--csv", tmp_path, "--out", tmp_path / "p.html").output.replace("\n", "")
    assert f"{tmp_path}: worlds.csv, classes.csv, rehearsals.csv, coverage.csv, gates.csv" in told


@pytest.mark.figures
def test_the_command_line_writes_figures(rollout, tmp_path, monkeypatch):
    monkeypatch.setattr(Rollout, "figures", {"timeline": rollout.figures["timeline"]})
    told = invoke("report", rollout.path, "--figures", tmp_path, "--format", "pdf", "--out", tmp_path / "p.html")
    assert f"{tmp_path}: timeline.pdf" in told.output.replace("\n", "")
    assert (tmp_path / "timeline.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.figures
def test_every_view_of_a_rollout_is_drawn(rollout):
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.paper.drawn import draw

    for name, figure in rollout.figures.items():
        for view in figure.views:
            canvas = Canvas(figsize=(3.35, 2.4))
            draw(canvas, view, 85.0)
            assert len(canvas.axes) == (3 if name == "coverage-by-class" else 1)
            for ax in canvas.axes:
                assert ax.lines or ax.patches or ax.collections, (name, view.label)


@pytest.mark.figures
def test_a_curve_of_a_rollout_goes_through_its_table(rollout):
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.paper.drawn import draw

    (view,) = (view for view in rollout.figures["coverage"].views if view.label == "good")
    canvas = Canvas()
    draw(canvas, view, 85.0)
    drawn = canvas.axes[0].lines[-1].get_ydata()
    rows = rollout.tables["coverage"].filter((pl.col("world") == "good") & (pl.col("class") == "fleet"))
    assert np.asarray(drawn) == pytest.approx(rows["p50"].to_numpy()[: len(drawn)], abs=1e-5)


def test_what_is_no_rollout_is_told(tmp_path):
    (tmp_path / "rollout.json").write_text("{}")
    error = invoke("report", tmp_path, "--csv", tmp_path).exception
    assert isinstance(error, FedliteError | SystemExit)
    assert not list(Path(tmp_path).glob("*.csv"))
