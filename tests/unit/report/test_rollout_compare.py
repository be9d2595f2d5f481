"""Rollout plans side by side: the chart stands on the numbers that rank them, and never is never drawn as a time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.report.figure import Figure
from fedlite.report.rollout_compare_page import comparison_page, of_plans, ranking_table, write_rollout_comparison
from fedlite.report.words import count, quantity
from fedlite.units import DAY_S
from tests.unit.rollout.test_rollout_command import PLAN


def band(low, middle, high):
    return {"p5": low, "p50": middle, "p95": high}


def world(p_detect, time_s, blast, joules, metered=0.0):
    return {
        "p_detect": p_detect, "p_false_abort": 0.01 if p_detect is None else None,
        "time_to_95_of_reachable_s": time_s, "blast_radius": {"devices": blast},
        "energy": {"delivery_j": band(joules, joules, joules)}, "bytes": {"metered": band(metered, metered, metered)},
    }  # fmt: skip


def summary(name, time_s, blast, joules=100.0, *, bad=True, metered=0.0):
    none = band(0.0, 0.0, 0.0)
    worlds = [world(None, band(0.0, 1.0, 1.0), none, joules / 2), world(None, time_s, none, joules, metered)]
    if bad:
        worlds += [world(0.9, band(None, None, None), blast, joules), world(1.0, time_s, band(0.0, 0.0, 1.0), joules)]
    return {"name": name, "seed": 1, "replications": 20, "devices": 1000, "worlds": worlds}


def plans(*summaries):
    return of_plans([(Path(f"runs/{one['name']}-{i:03}"), one) for i, one in enumerate(summaries, 1)])


FAST = summary("fast", band(1 * DAY_S, 2 * DAY_S, 4 * DAY_S), band(300.0, 350.0, 400.0))
SAFE = summary("safe", band(8 * DAY_S, 9 * DAY_S, None), band(2.0, 5.0, 20.0), 25.0)
BEATEN = summary("beaten", band(9 * DAY_S, 9 * DAY_S, 9 * DAY_S), band(400.0, 450.0, 500.0))
NEVER = summary("never-there", band(10 * DAY_S, None, None), band(1.0, 2.0, 3.0))


def chart(*summaries):
    page = comparison_page(plans(*summaries))
    (figure,) = (block for part in page.sections for block in part.present() if isinstance(block, Figure))
    points = {}
    for view in figure.views[:1]:
        for trace in view.traces:
            for i, text in enumerate(trace["hovertext"]):
                told = {key: trace[key][i] for key in ("x", "y")} | {"filled": trace["name"] == "not beaten"}
                told |= {f"{way}{part}": trace[way][part][i] for way in ("error_x", "error_y")
                         for part in ("array", "arrayminus")}  # fmt: skip
                points[text.split("<br>")[0]] = told | {"size": trace["marker"]["size"][i]}
    return figure, points


def test_points_stand_where_the_slowest_good_and_the_worst_bad_world_put_them():
    figure, points = chart(FAST, SAFE, BEATEN)
    assert (points["fast"]["x"], points["fast"]["y"]) == (2.0, 400.0)
    assert (points["fast"]["error_xarrayminus"], points["fast"]["error_xarray"]) == (1.0, 2.0)
    assert (points["fast"]["error_yarrayminus"], points["fast"]["error_yarray"]) == (100.0, 0.0)
    assert {name: point["filled"] for name, point in points.items()} == {"fast": True, "safe": True, "beaten": False}
    # A quarter of the cost is a quarter of the area.
    assert points["fast"]["size"] == pytest.approx(2.0 * points["safe"]["size"])
    assert figure.plotly().data


def test_what_never_gets_there_stands_beyond_every_time_and_is_said_to():
    figure, points = chart(FAST, SAFE, NEVER)
    layout = figure.views[0].layout
    ticks = dict(zip(layout["xaxis"]["ticktext"], layout["xaxis"]["tickvals"], strict=True))
    fence = layout["shapes"][0]["x0"]
    assert points["never-there"]["x"] == ticks["never"] > fence > 10.0
    # Its best rehearsals got there after ten days; the worst of the safe one did not.
    assert points["never-there"]["x"] - points["never-there"]["error_xarrayminus"] == pytest.approx(10.0)
    assert points["safe"]["x"] + points["safe"]["error_xarray"] == pytest.approx(ticks["never"])
    assert [text for text, at in ticks.items() if at > fence] == ["never"]
    assert "Never there: never-there" in figure.alt
    assert "dotted line" in figure.caption
    assert "dotted line" not in chart(FAST, BEATEN)[0].caption


def test_plans_that_all_never_get_there_and_plans_without_bad_worlds_are_drawn():
    figure, points = chart(summary("a", band(None, None, None), None, bad=False))
    assert points["a"]["y"] == 0.0
    assert points["a"]["x"] == pytest.approx(figure.views[0].layout["xaxis"]["tickvals"][-1])
    assert figure.plotly().data
    assert len(figure.views) == 1
    assert len(chart(summary("a", band(1.0, 1.0, 1.0), None, bad=False, metered=5e6))[0].views) == 2


def test_the_table_is_the_ranking_and_equal_names_are_told_apart():
    ranked = plans(SAFE, FAST, NEVER)
    rows = {row[0]: row[1:] for row in ranking_table(ranked).rows}
    assert list(rows) == ["fast", "safe", "never-there"]
    assert rows["fast"][:2] == (quantity(2 * DAY_S, "time"), count(400))
    assert rows["never-there"][0] == "never"
    twice = plans(SAFE, FAST | {"name": "safe"})
    assert {plan.standing.name for plan in twice} == {"safe-001", "safe-002"}
    assert {plan.path.name for plan in twice if plan.standing.name == "safe-002"} == {"safe-002"}
    assert [plan.standing.time_s for plan in twice] == [2 * DAY_S, 9 * DAY_S]


def test_names_stay_text(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    text = write_rollout_comparison(plans(FAST, NEVER | {"name": evil}), tmp_path / "c.html").read_text("utf-8")
    assert "<img" not in text
    words = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)
    assert not {"nan", "None", "inf"} & set(re.findall(r"\w+", words))


def test_the_command_writes_the_page_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(PLAN)
    (tmp_path / "b.yaml").write_text(PLAN.replace("name: small", "name: bold"))
    short = ["rollout", "--compare", "a.yaml", "b.yaml", "--backend", "local", "--replications", "1"]
    done = CliRunner().invoke(app, short)
    assert done.exit_code == 0, done.output
    assert "report: compare.html" in done.output
    assert "runs/bold-001/report.html" in (tmp_path / "compare.html").read_text("utf-8")
    done = CliRunner().invoke(app, [*short, "--out", "pages/two.html", "--json"])
    assert json.loads(done.stdout)["report"] == "pages/two.html"
    assert (tmp_path / "pages" / "two.html").exists()
    refused = CliRunner().invoke(app, [*short, "--out", "runs"])
    assert refused.exit_code != 0
    assert "which is a folder" in str(refused.exception or refused.output)
    assert not (tmp_path / "runs" / "small-003").exists()
