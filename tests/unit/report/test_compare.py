"""Runs side by side and studies: differences only, costs at the same accuracy, fronts over seeds."""

from __future__ import annotations

import json

import pytest

from fedlite.report import run_sets, tails
from fedlite.report.compare_page import TooFewRunsError, totals_table, write_comparison
from fedlite.report.run_data import NotARunError, read_run
from fedlite.report.same_result import all_reached
from fedlite.report.study_data import EmptyStudyError, read_study
from fedlite.report.study_page import write_study_page


def test_only_the_settings_that_differ_are_shown(write_run):
    runs = [read_run(write_run("a", lr=0.01)), read_run(write_run("b", lr=0.05, rounds=5))]
    assert run_sets.difference(runs) == [("training.lr", "0.01", "0.05"), ("training.rounds", "12", "5")]


def test_settings_are_flattened_by_path_and_plain_lists_are_one(write_run):
    found = run_sets.settings(read_run(write_run()))
    assert found["wire.up"] == "int8, zstd"
    assert found["fleet.mix"] == "home-fleet"


def test_a_scenario_that_was_damaged_later_is_refused(write_run):
    path = write_run()
    (path / "scenario.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(NotARunError, match="the run directory was changed"):
        run_sets.settings(read_run(path))


def test_runs_with_one_name_are_told_apart(write_run):
    runs = [read_run(write_run("a")), read_run(write_run("b"))]
    assert run_sets.distinct_names(runs) == ["a", "b"]
    assert run_sets.distinct_names([runs[0], runs[0]]) == ["1: watch-fleet", "2: watch-fleet"]


def test_costs_are_compared_at_the_highest_accuracy_that_all_reached(write_run):
    runs = [read_run(write_run("low", level=0.66)), read_run(write_run("high", level=0.95))]
    even = all_reached(runs, ["low", "high"])
    assert even["target"].to_list() == [0.6, 0.6]
    assert even["round"][1] < even["round"][0]


def test_no_common_accuracy_gives_no_comparison(write_run):
    runs = [read_run(write_run("a")), read_run(write_run("b", evaluated=False))]
    assert all_reached(runs, ["a", "b"]).is_empty()


def test_a_comparison_names_no_winner(write_run, tmp_path):
    runs = [write_run("low", name="low", level=0.66), write_run("high", name="high", level=0.95)]
    ends = [json.loads((path / "summary.json").read_text())["metrics"]["accuracy"] for path in runs]
    page = write_comparison(runs, tmp_path / "c.html").read_text(encoding="utf-8")
    glue = "\N{NO-BREAK SPACE}"
    said = " and ".join(f"{name} {100 * end:.1f}{glue}%" for name, end in zip(("low", "high"), ends, strict=True))
    assert f"Accuracy in the end: <strong>{said}</strong>. Single runs do not tell how much" in page
    assert f"To 60{glue}% accuracy they took " in page
    own = page[: page.index("<script")]
    assert not any(word in own for word in ("the least", "the highest", "ends best", " took <strong>"))


def test_of_many_runs_a_comparison_tells_between_which_values_they_ended(write_run, tmp_path):
    runs = [write_run(f"r{place}", name=f"r{place}", seed=place) for place in range(6)]
    page = write_comparison(runs, tmp_path / "c.html").read_text(encoding="utf-8")
    assert "Accuracy in the end: <strong>from r" in page


def _with_tails(path, part):
    """Let radios take nine tenths of a run's energy, and tails a part of that."""
    summary = json.loads((path / "summary.json").read_text())
    radio_j = 0.9 * summary["energy_j"]
    (path / "summary.json").write_text(json.dumps(summary | {"radio_j": radio_j, "tail_j": part * radio_j}))
    return path


def test_a_comparison_tells_tails_apart_and_says_so_where_they_take_most(write_run, tmp_path):
    mostly, little = _with_tails(write_run("mostly"), 0.8), _with_tails(write_run("little"), 0.3)
    page = write_comparison([mostly, little], tmp_path / "c.html").read_text(encoding="utf-8")
    runs = [read_run(path) for path in (mostly, little)]
    shown = totals_table(run_sets.totals(runs, ["mostly", "little"]), run_sets.metric_of(runs))
    where = shown.head.index("Radio")
    assert shown.head[where + 1] == "Its tails"
    glue = "\N{NO-BREAK SPACE}"
    assert [row[where : where + 2] for row in shown.rows] == [
        (f"90{glue}%", f"72{glue}%"),
        (f"90{glue}%", f"27{glue}%"),
    ]
    assert f"72{glue}% of the energy of mostly is the tail of the radio" in page
    calm = write_comparison([little, _with_tails(write_run("also"), 0.2)], tmp_path / "d.html")
    assert "is the tail of the radio" not in calm.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("radio_j", "tail_j", "most"), [(9.0, 5.0, True), (9.0, 4.0, False), (6.0, 3.9, False), (0.0, 0.0, False)]
)
def test_tails_dominate_where_they_take_more_than_computing_and_than_moving_bytes(radio_j, tail_j, most):
    assert tails.dominates({"energy_j": 10.0, "radio_j": radio_j, "tail_j": tail_j}) is most
    assert not tails.dominates({"energy_j": 10.0})


def test_one_run_is_no_comparison(write_run, tmp_path):
    with pytest.raises(TooFewRunsError, match="got 1 run directory, expected two or more"):
        write_comparison([write_run()], tmp_path / "c.html")


@pytest.mark.parametrize("changes", [{"lr": 0.05}, {"evaluated": False}, {"nothing": True}, {"all_failed": True}])
def test_every_pair_gives_a_page(write_run, tmp_path, changes):
    text = write_comparison([write_run("a"), write_run("b", **changes)], tmp_path / "c.html").read_text(
        encoding="utf-8"
    )
    assert "2 runs side by side" in text
    assert '"costs":' in text


@pytest.fixture
def study_runs(write_run):
    """Two settings with three seeds each."""
    settings = (("slow", 0.6, 0.01), ("fast", 0.8, 0.05))
    return [
        (label, seed, write_run(f"{label}-{seed}", seed=seed, level=level, lr=lr))
        for label, level, lr in settings
        for seed in (1, 2, 3)
    ]


def test_a_study_averages_over_seeds(study_runs):
    settings = read_study(study_runs).settings
    assert settings["label"].to_list() == ["slow", "fast"]
    assert settings["seeds"].to_list() == [3, 3]
    summaries = [json.loads((path / "summary.json").read_text()) for _, _, path in study_runs[:3]]
    accuracies = [found["metrics"]["accuracy"] for found in summaries]
    row = settings.row(0, named=True)
    assert row["accuracy"] == pytest.approx(sum(accuracies) / 3)
    assert (row["accuracy_min"], row["accuracy_max"]) == (min(accuracies), max(accuracies))


def test_a_study_page_shows_fronts_differences_and_links_to_reports(study_runs, tmp_path):
    (study_runs[0][2] / "report.html").write_text("a report")
    text = write_study_page(study_runs, tmp_path / "study" / "study.html", name="Learning rates").read_text(
        encoding="utf-8"
    )
    assert "2 settings, 6 runs" in text
    assert "training.lr" in text
    assert 'href="../slow-1/report.html"' in text


def test_an_empty_study_is_refused(tmp_path):
    with pytest.raises(EmptyStudyError, match="got no finished run"):
        write_study_page([], tmp_path / "s.html")


def test_a_study_that_was_never_evaluated_still_has_a_page(write_run, tmp_path):
    text = write_study_page([("a", 1, write_run(evaluated=False))], tmp_path / "s.html").read_text(encoding="utf-8")
    assert "None of these runs was evaluated" in text
