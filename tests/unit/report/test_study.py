"""A study's page: who is called best, what is told apart, epsilon, asked axes, the cost of the same result."""

from __future__ import annotations

import json

import polars as pl
import pytest

from fedlite.errors import FedliteError
from fedlite.report.figures.fronts import fronts
from fedlite.report.study_data import read_study
from fedlite.report.study_page import write_study_page
from fedlite.report.study_tables import apart_table, same_result_table, settings_table

GLUE = "\N{NO-BREAK SPACE}"


def edited(path, **changes):
    """Change what a run's summary tells; its accuracy under the key of the same name."""
    place = path / "summary.json"
    summary = json.loads(place.read_text())
    if "accuracy" in changes:
        summary["metrics"]["accuracy"] = changes.pop("accuracy")
    place.write_text(json.dumps(summary | changes))
    return path


@pytest.fixture
def study_of(write_run):
    """Return a function from label -> accuracies, one for each seed, to the runs of a study."""

    def made(settings, **changes):
        return [
            (
                label,
                seed,
                edited(
                    write_run(f"{label}-{seed}", seed=seed),
                    accuracy=accuracy,
                    **{name: value[label] for name, value in changes.items()},
                ),
            )
            for label, accuracies in settings.items()
            for seed, accuracy in enumerate(accuracies, start=1)
        ]

    return made


def text_of(runs, tmp_path, **options):
    return write_study_page(runs, tmp_path / "study.html", **options).read_text(encoding="utf-8")


def test_a_winner_is_named_only_where_all_others_are_told_apart(study_of, tmp_path):
    clear = study_of({"a": (0.80, 0.82, 0.81), "b": (0.70, 0.721, 0.71)})
    page = text_of(clear, tmp_path)
    assert "<strong>a</strong> has the best accuracy: <strong>81.0" in page
    assert "It is told apart from all others on 3 seeds." in page


def test_within_the_noise_nobody_is_best(study_of, tmp_path):
    page = text_of(study_of({"int4": (0.823, 0.815), "fp32": (0.810, 0.825)}), tmp_path)
    assert "<strong>int4</strong> has the highest mean accuracy" in page
    assert "has the best accuracy" not in page
    assert "It is not told apart from fp32 on 2 seeds." in page


def test_each_alone_is_not_all_at_once(study_of, tmp_path):
    accuracies = {"a": (0.80, 0.82, 0.81), "b": (0.79, 0.8135, 0.7965), "c": (0.7865, 0.81, 0.8035)}
    runs = study_of(accuracies)
    study = read_study(runs)
    assert study.trade_offs.level_with_leader == []
    assert study.trade_offs.best is None
    page = text_of(runs, tmp_path)
    assert "told apart from each of the others, but not from all of them at once" in page


def test_one_seed_tells_nothing_apart(study_of, tmp_path):
    page = text_of(study_of({"a": (0.9,), "b": (0.1,)}), tmp_path)
    assert "From one seed nothing is told apart: run several, such as &#x27;seeds: [1, 2, 3]&#x27;." in page
    assert "has the best accuracy" not in page


def test_tables_tell_intervals_and_what_is_not_told_apart(study_of):
    study = read_study(study_of({"a": (0.80, 0.82, 0.81), "b": (0.805, 0.81, 0.82), "c": (0.70, 0.721, 0.71)}))
    shown = settings_table(study)
    place = shown.head.index(f"95{GLUE}% interval")
    assert {row[0]: row[place] for row in shown.rows}["a"] == f"78.5{GLUE}% to 83.5{GLUE}%"
    apart = {row[0]: row[1:] for row in apart_table(study.trade_offs).rows}
    assert apart["a"][0] == "–"
    assert apart["b"][0].endswith(", not told apart")
    assert apart["c"][0].startswith(f"\N{MINUS SIGN}10.0{GLUE}% (")
    assert "not told apart" not in apart["c"][0]


def test_epsilon_is_a_column_and_a_view_where_some_run_states_one(study_of):
    plain = {"a": (0.80, 0.82), "b": (0.70, 0.72)}
    assert "ε" not in settings_table(read_study(study_of(plain))).head
    private = {"a": {"epsilon": 8.0, "delta": 1e-5}, "b": None}
    study = read_study([*study_of({"c": (0.5, 0.6)}, epsilon={"c": {"epsilon": 2.5}}), *_renamed(study_of, private)])
    shown = settings_table(study)
    column = {row[0]: row[shown.head.index("ε")] for row in shown.rows}
    assert column == {"c": "2.5", "x-a": "8", "x-b": "none stated"}
    drawn = fronts(study.settings, study.trade_offs)
    assert [view.label for view in drawn.views][-1] == "Privacy"
    points = {name for trace in drawn.views[-1].traces for name in trace.get("hovertext", ())}
    assert points == {"c", "x-a"}


def _renamed(study_of, private):
    return study_of({f"x-{label}": (0.7, 0.71) for label in private}, epsilon={f"x-{k}": v for k, v in private.items()})


def test_two_values_of_the_summary_are_drawn_against_each_other(study_of, tmp_path):
    runs = study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, calendar={"a": {"days": 2.0}, "b": {"days": 5.0}})
    study = read_study(runs, ("calendar.days", "carbon_g"))
    first = fronts(study.settings, study.trade_offs, study.axes).views[0]
    assert first.label == "As asked"
    assert first.traces[0]["x"] == [2.0, 5.0]
    assert first.traces[0]["y"] == pytest.approx(study.settings["carbon_g"].to_list())
    assert '"text":"calendar.days"' in text_of(runs, tmp_path, axes=("calendar.days", "carbon_g"))
    assert '"text":"calendar.days"' not in text_of(runs, tmp_path)
    with pytest.raises(FedliteError, match=r"axes: got 'calendar\.weeks', which no run's summary has"):
        read_study(runs, ("calendar.weeks", "accuracy"))


def test_only_costs_are_known_to_be_above_zero(study_of):
    falls = {"a": {"x": -2.0}, "b": {"x": -1.0}}
    settings = read_study(
        study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, extra=falls), ("extra.x", "accuracy")
    ).settings
    assert settings["extra.x_low"].to_list() == settings["extra.x_high"].to_list() == [-2.0, -1.0]
    assert min(settings["energy_j_low"]) >= 0


def test_settings_that_cost_the_same_are_no_vertical_line(study_of):
    costs = {"up_bytes": {"a": 1000, "b": 1000}, "energy_j": {"a": 3.0, "b": 2.0}}
    runs = study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, **costs)
    study = read_study(runs)
    drawn = fronts(study.settings, study.trade_offs)
    assert "Bytes" not in [view.label for view in drawn.views]
    assert "All settings are alike in bytes" in drawn.caption
    alike = {name: {"a": 1.0, "b": 1.0} for name in ("up_bytes", "energy_j", "virtual_time_s")}
    same = read_study(_rewritten(runs, alike))
    assert fronts(same.settings, same.trade_offs) is None


def _rewritten(runs, changes):
    return [
        (label, seed, edited(path, **{name: value[label] for name, value in changes.items()}))
        for label, seed, path in runs
    ]


def test_the_cost_of_the_same_result_has_intervals_and_counts_runs_that_never_got_there(write_run):
    levels = {"high": (0.95, 0.95, 0.95), "some": (0.95, 0.4, 0.95), "low": (0.3, 0.3, 0.3)}
    runs = [
        (label, seed, write_run(f"{label}-{seed}", seed=seed, level=level))
        for label, several in levels.items()
        for seed, level in enumerate(several, start=1)
    ]
    study = read_study(runs)
    found = {row["label"]: row for row in study.same_result.iter_rows(named=True)}
    assert [found[label]["reached"] for label in levels] == [3, 2, 0]
    high, low = found["high"], found["low"]
    assert high["energy_j_low"] < high["energy_j"] < high["energy_j_high"]
    assert low["energy_j_low"] is None
    spent = [run.rounds["energy_j"].sum() for run in study.runs[-3:]]
    assert low["energy_j"] == pytest.approx(sum(spent) / 3)
    cells = {row[0]: row for row in same_result_table(study).rows}
    assert cells["some"][1] == "2 of 3"
    assert all(cell.startswith("more than ") for cell in cells["low"][2:])
    assert not any(cell.startswith("more than") for cell in cells["high"])


def test_a_study_that_never_learned_has_no_common_result(write_run):
    study = read_study([("a", 1, write_run(evaluated=False))])
    assert same_result_table(study) is None
    assert isinstance(study.same_result, pl.DataFrame)
