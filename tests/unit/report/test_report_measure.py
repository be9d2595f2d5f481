"""The main metric on the pages: its words, and that "better" is down where its goal is "min"."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from fedlite.learning.objectives import LOSS, Metric
from fedlite.report import measure, run_sets, tables
from fedlite.report.compare_page import comparison_page, totals_table
from fedlite.report.figures import fairness, learning, side_by_side
from fedlite.report.page import write_page
from fedlite.report.run_data import NotARunError, read_run
from fedlite.report.run_page import write_report
from fedlite.report.same_result import all_reached
from fedlite.report.study_data import read_study
from fedlite.report.study_page import write_study_page
from fedlite.report.study_tables import settings_table

ACCURACY = Metric("accuracy", "max", "share")
RMSE = Metric("rmse", "min", "m")


def _own(text):
    """Return a page without the drawing library, which has words of its own."""
    return re.sub(
        r"<script.*?</script>", lambda found: found[0] if len(found[0]) < 200_000 else "", text, flags=re.DOTALL
    )


@pytest.fixture
def write_error_run(write_run):
    """A run judged by an error that falls from 0.9 to 1 - level."""

    def write(name, **options):
        path = write_run(name, **options)
        for table in ("rounds", "evaluation"):
            frame = pl.read_parquet(path / f"{table}.parquet")
            error = (1 - pl.col("accuracy")).alias("rmse")
            frame.select(error, pl.exclude("accuracy", "macro_f1")).write_parquet(path / f"{table}.parquet")
        summary = json.loads((path / "summary.json").read_text())
        told = summary.pop("metrics")
        summary |= {"metrics": {"rmse": 1 - told["accuracy"], "loss": told["loss"]}, **measure.metric_records([RMSE])}
        (path / "summary.json").write_text(json.dumps(summary))
        return path

    return write


def test_a_run_says_its_metrics_and_an_old_one_was_judged_by_accuracy(write_run, write_error_run):
    assert read_run(write_error_run("new")).main == RMSE
    old = read_run(write_run("old"))
    assert [metric.name for metric in old.metrics] == ["accuracy", "macro_f1"]
    assert (old.main.goal, old.main.unit) == ("max", "share")


def test_an_old_run_that_told_only_a_loss_is_judged_by_it(write_run):
    path = write_run()
    rounds = pl.read_parquet(path / "rounds.parquet").with_columns(pl.lit(float("nan")).alias("accuracy"))
    rounds.write_parquet(path / "rounds.parquet")
    assert read_run(path).main == LOSS


@pytest.mark.parametrize("told", [{"name": "rmse"}, {"name": "rmse", "goal": "up", "unit": ""}, {"kind": "rmse"}])
def test_a_summary_that_tells_its_metric_in_another_way_is_refused(write_error_run, told):
    path = write_error_run("a")
    summary = json.loads((path / "summary.json").read_text()) | {"main_metric": told}
    (path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(NotARunError, match="main_metric: got"):
        read_run(path)


def test_the_column_of_the_main_metric_must_be_there(write_error_run):
    path = write_error_run("a")
    pl.read_parquet(path / "evaluation.parquet").drop("rmse").write_parquet(path / "evaluation.parquet")
    with pytest.raises(NotARunError, match=r"evaluation\.parquet: lacks the columns rmse"):
        read_run(path)


def test_words_numbers_and_units():
    assert measure.phrase(ACCURACY, 0.804) == "80.4\u00a0% accuracy"
    assert measure.phrase(RMSE, 0.41234) == "rmse 0.4123\u00a0m"
    assert measure.text(RMSE, None) == "–"
    assert [measure.heading(metric) for metric in (ACCURACY, RMSE, LOSS, Metric("macro_f1", "max"))] == [
        "Accuracy", "RMSE", "Loss", "Macro F1",
    ]  # fmt: skip
    assert measure.value_axis(ACCURACY)["tickformat"] == ".0%"
    assert "tickformat" not in measure.value_axis(RMSE)


@pytest.mark.parametrize(
    ("goal", "values", "expected"),
    [
        ("min", [1.02, 0.74, 0.55], (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55)),
        ("max", [1.0, 3.0, None], (1.0, 1.1, 1.2, 1.3)),
        ("min", [2.0, 2.0], ()),
        ("min", [], ()),
        ("max", [-3e4, 1e4], (-30000.0, -28000.0, -26000.0)),
    ],
)
def test_levels_are_round_and_go_from_easy_to_hard(goal, values, expected):
    found = measure.levels(Metric("score", goal), values)
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)
    assert len(found) <= 21
    assert list(found) == sorted(found, reverse=goal == "min")


def test_levels_of_a_share_are_the_usual_ones():
    assert measure.levels(ACCURACY, [0.2, 0.3]) == measure.SHARES


@pytest.mark.parametrize(
    ("metric", "value", "width", "expected"),
    [
        (ACCURACY, 0.72, 0.5, 0.7),
        (ACCURACY, 0.09, 0.5, None),
        (RMSE, 0.522, 0.48, 0.55),
        (RMSE, 0.5, 0.0, 0.5),
        (Metric("score", "max"), -5.3, 4.0, -5.4),
        (RMSE, 0.0, 0.0, 0.0),
    ],
)
def test_a_round_value_is_no_harder_than_the_one_it_stands_for(metric, value, width, expected):
    assert measure.eased(metric, value, width) == expected


def test_differences_of_shares_are_points():
    glue = "\N{NO-BREAK SPACE}"
    assert measure.difference(ACCURACY, 0.027) == f"+2.7{glue}points"
    assert measure.difference(ACCURACY, 0.027, 0.021, -0.01) == f"+2.7{glue}points (+2.1 to \N{MINUS SIGN}1.0)"
    assert measure.difference(RMSE, -0.5) == f"\N{MINUS SIGN}0.5{glue}m"
    assert measure.difference(Metric("mae", "min", "mm"), 0.5, 0.25) == f"+0.5{glue}mm (+0.25)"


CURVE = pl.DataFrame({"round": [1, 2, 3, 4], "rmse": [0.9, 0.7, None, 0.5]}, schema_overrides={"rmse": pl.Float64})


def test_an_error_reaches_a_target_from_above():
    reached = tables.first_reached(CURVE, RMSE, [0.8, 0.7, 0.5, 0.4])
    assert reached.select("target", "round").rows() == [(0.8, 2), (0.7, 2), (0.5, 4)]


def test_the_worst_tenth_has_the_largest_errors():
    evaluation = pl.DataFrame({"rmse": [0.9, 0.7, *([0.2] * 9)], "client": range(11), "samples": [1] * 11})
    found = tables.fairness(evaluation, RMSE)
    assert (found.worst, found.best) == pytest.approx((0.8, 0.2))
    bars = fairness.across_clients(evaluation, pl.DataFrame(), "profile", RMSE).views[0].traces
    assert bars[0]["name"] == "worst tenth"
    assert bars[0]["y"] == [0.9, 0.7]


def test_a_comparison_of_errors_goes_by_how_low_they_are(write_error_run, tmp_path):
    runs = [read_run(write_error_run(name, level=level)) for name, level in (("bad", 0.6), ("good", 0.9))]
    curves = [tables.learning_curve(run.rounds, RMSE) for run in runs]
    drawn = side_by_side.curves(curves, ["bad", "good"], RMSE)
    assert "2 runs, which end with rmse from 0.15" in drawn.alt
    assert drawn.caption.startswith("The lower")
    even = all_reached(runs, ["bad", "good"])
    assert even["target"][0] == pytest.approx(max(curve["rmse"].min() for curve in curves), abs=0.05)
    assert even["round"][1] < even["round"][0]
    text = write_page(comparison_page(runs, ["bad", "good"]), tmp_path / "c.html").read_text(encoding="utf-8")
    assert "RMSE in the end: <strong>bad 0.43" in text
    assert "accura" not in _own(text)


def test_a_study_of_errors_is_sorted_from_the_least(write_error_run, tmp_path):
    runs = [(name, 1, write_error_run(name, level=level)) for name, level in (("bad", 0.6), ("good", 0.9))]
    study = read_study(runs)
    assert study.metric == RMSE
    assert [row[0] for row in settings_table(study).rows] == ["good", "bad"]
    text = write_study_page(runs, tmp_path / "s.html").read_text(encoding="utf-8")
    assert "<strong>good</strong> has the lowest mean rmse" in text
    assert "accura" not in _own(text)


def test_runs_are_compared_by_a_metric_that_all_have(write_run, write_error_run):
    error, plain = read_run(write_error_run("error")), read_run(write_run("plain"))
    assert run_sets.metric_of([error, plain]) == RMSE, "none is common: that of the first"
    assert measure.shared([(RMSE, ["rmse", "accuracy"]), (ACCURACY, ["accuracy"])]) == ACCURACY
    shown = totals_table(run_sets.totals([error, plain], ["error", "plain"]), RMSE)
    assert shown.head[1] == "RMSE"
    assert shown.rows[1][1] == "–"


def test_a_report_speaks_of_its_own_metric_only(write_error_run):
    text = write_report(write_error_run("a", level=0.9)).read_text(encoding="utf-8")
    assert "reaches rmse <strong>" in text
    assert "RMSE, central test set" in text
    assert "RMSE of each client" in text
    assert "accura" not in _own(text)


def test_a_model_that_diverged_is_not_called_untested(write_error_run):
    path = write_error_run("a")
    summary = json.loads((path / "summary.json").read_text())
    summary["metrics"]["rmse"] = None
    (path / "summary.json").write_text(json.dumps(summary))
    assert "has no rmse that is a number" in write_report(path).read_text(encoding="utf-8")


@pytest.mark.parametrize(("goal", "wanted"), [("max", [0.2, 0.6, 0.6]), ("min", [0.2, 0.2, 0.2])])
def test_the_band_of_a_curve_that_rises_and_falls_never_crosses_itself(goal, wanted):
    curve = pl.DataFrame({"round": [0, 1, 2], "accuracy": [0.2, 0.6, 0.4], "loss": [2.0, 1.0, 1.5]}).with_columns(
        *(pl.Series(name, [0.0, 10.0, 20.0]) for name in ("time_s", "up_bytes", "down_bytes", "energy_j")),
        pl.Series("energy_low_j", [0.0, 5.0, 10.0]),
        pl.Series("energy_high_j", [0.0, 40.0, 80.0]),
    )
    figure = learning.against_costs(curve, Metric("accuracy", goal, "share"), "tested")
    band, line = next(view for view in figure.views if view.label == "Energy").traces
    assert band["x"] == [0.0, 5.0, 10.0, 80.0, 40.0, 0.0]
    assert band["y"] == wanted + wanted[::-1]
    assert line["y"] == [0.2, 0.6, 0.4]
