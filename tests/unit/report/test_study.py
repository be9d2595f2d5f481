"""A study's page: who is called best, what is told apart, epsilon, asked axes, the cost of the same result."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest

from fedlite.errors import FedliteError
from fedlite.learning.objectives import Metric
from fedlite.report import run_sets
from fedlite.report.figures.fronts import fronts
from fedlite.report.study_data import read_study
from fedlite.report.study_page import write_study_page
from fedlite.report.study_tables import apart_table, dearer_table, same_result_table, settings_table

GLUE = "\N{NO-BREAK SPACE}"
NAN = math.nan


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
    page = text_of(study_of({"int4": (0.823, 0.815, 0.82), "fp32": (0.810, 0.825, 0.815)}), tmp_path)
    assert "<strong>int4</strong> has the highest mean accuracy" in page
    assert "has the best accuracy" not in page
    assert "It is not told apart from fp32 on 3 seeds." in page


def test_a_study_that_was_cut_short_names_its_leader_by_the_seeds_that_both_have(study_of, tmp_path):
    runs = study_of({"a": (0.60, 0.61, 0.62, 0.90, 0.91, 0.92), "b": (0.1, 0.1, 0.1, 0.87, 0.88, 0.8905)})
    page = text_of([run for run in runs if run[0] == "a" or run[1] > 3], tmp_path)
    assert "<strong>a</strong> has the best accuracy: <strong>76.0" in page
    assert "It is told apart from all others on 3 seeds." in page
    few = [run for run in runs if run[0] == "a" or run[1] > 5]
    shown = text_of(few, tmp_path)
    assert "<strong>a</strong> is ahead on the seeds that it shares with others, with a mean accuracy of" in shown
    assert "From one seed nothing is told apart" in shown


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
    assert "From one seed nothing is told apart: run three or more, such as &#x27;seeds: [1, 2, 3]&#x27;." in page
    assert "has the best accuracy" not in page


def test_tables_tell_intervals_and_what_is_not_told_apart(study_of):
    study = read_study(study_of({"a": (0.80, 0.82, 0.81), "b": (0.805, 0.81, 0.82), "c": (0.70, 0.721, 0.71)}))
    shown = settings_table(study)
    place = shown.head.index(f"95{GLUE}% interval")
    assert {row[0]: row[place] for row in shown.rows}["a"] == f"78.5{GLUE}% to 83.5{GLUE}%"
    apart = {row[0]: row[1:] for row in apart_table(study.trade_offs).rows}
    assert apart["a"][0] == "–"
    assert apart["b"][0].endswith(", not told apart")
    assert apart["c"][0].startswith(f"\N{MINUS SIGN}10.0{GLUE}points (")
    assert "told apart" not in apart["c"][0]


def test_what_is_told_apart_only_by_itself_is_said_so(study_of):
    accuracies = {"a": (0.80, 0.82, 0.81), "b": (0.79, 0.8135, 0.7965), "c": (0.7865, 0.81, 0.8035)}
    shown = apart_table(read_study(study_of(accuracies)).trade_offs)
    assert [row[1].endswith("told apart only by itself") for row in shown.rows] == [False, True, True]
    assert "among all of this table (Holm)" in shown.caption
    alone = apart_table(read_study(study_of({name: accuracies[name.lower()] for name in "AB"})).trade_offs)
    assert "told apart" not in alone.rows[1][1]


def test_epsilon_is_a_column_and_a_view_where_some_run_states_one(study_of):
    plain = {"a": (0.80, 0.82), "b": (0.70, 0.72)}
    assert "ε" not in settings_table(read_study(study_of(plain))).head
    private = {"a": {"epsilon": 18.0, "delta": 1e-5}, "b": None}
    own = {"c": {"epsilon": 2.5, "delta": 1e-5}}
    study = read_study([*study_of({"c": (0.5, 0.6)}, epsilon=own), *_renamed(study_of, private)])
    shown = settings_table(study)
    column = {row[0]: row[shown.head.index("ε")] for row in shown.rows}
    assert column == {
        "c": "2.5 (δ 1e-05, central)",
        "x-a": "18 (δ 1e-05, central, weak)",
        "x-b": "none stated",
    }
    drawn = fronts(study.settings, study.trade_offs)
    assert [view.label for view in drawn.views][-1] == "Privacy"
    points = {name for trace in drawn.views[-1].traces for name in trace.get("hovertext", ())}
    assert points == {"c", "x-a"}
    assert "ε is that of the worst seed, at δ = 1e-05, central." in drawn.caption


@pytest.mark.parametrize(
    "other",
    [
        {"epsilon": 8.0, "delta": 1e-3, "statement": "(8, 0.001)-differential privacy of one owner's whole data."},
        {"epsilon": 8.0, "delta": 1e-5, "statement": "(8, 1e-05)-local differential privacy of the owner."},
        {"epsilon": 8.0, "delta": 1e-5, "relation": "add-or-remove"},
    ],
)
def test_guarantees_of_several_kinds_are_on_no_one_axis(study_of, other):
    epsilon = {"a": {"epsilon": 4.0, "delta": 1e-5}, "b": other}
    costs = {"a": 2.0, "b": 1.0}
    study = read_study(study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, epsilon=epsilon, energy_j=costs))
    drawn = fronts(study.settings, study.trade_offs)
    assert "Privacy" not in [view.label for view in drawn.views]
    assert "The ε are of guarantees of several kinds and no one scale." in drawn.caption
    assert "On the front of" in settings_table(study).head


def test_the_epsilon_of_a_setting_is_that_of_its_worst_seed(study_of):
    runs = study_of({"a": (0.80, 0.82, 0.81), "b": (0.7, 0.7, 0.7)})
    for label, seed, path in runs:
        edited(path, epsilon={"epsilon": 2.0 + seed if label == "a" else 4.5, "delta": 1e-5})
    study = read_study(runs)
    row = study.settings.row(0, named=True)
    assert (row["epsilon"], row["epsilon_min"], row["epsilon_low"]) == (5.0, 3.0, None)
    # By the mean a is as private as 4; what holds whatever the seed is dearer than 4.5.
    assert study.trade_offs.front("epsilon") == ["b", "a"]
    edited(runs[0][2], epsilon=None)
    assert read_study(runs).settings["epsilon"].to_list() == [None, 4.5]


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
    # Nor are those of its words numbers that the tables have.
    with pytest.raises(FedliteError, match=r"axes: got 'digest', which no run's summary has as a number"):
        read_study(runs, ("accuracy", "digest"))


@pytest.mark.parametrize("axes", [("epsilon", "accuracy"), ("accuracy", "epsilon")])
def test_settings_without_an_asked_value_are_named_and_not_drawn(study_of, tmp_path, axes):
    epsilon = {"a": {"epsilon": 8.0, "delta": 1e-5}, "b": None}
    runs = study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, epsilon=epsilon)
    study = read_study(runs, axes)
    drawn = fronts(study.settings, study.trade_offs, study.axes)
    assert drawn.views[0].traces[0]["hovertext"] == ["a"]
    assert f"b: no {axes[0]} and {axes[1]} in every run, so not drawn as asked." in drawn.caption
    assert '"text":"epsilon"' in text_of(runs, tmp_path, axes=axes)


@pytest.mark.parametrize("name", ["time_to_target_s", "metrics.time_to_target_s", "metrics.rounds_to_target"])
def test_a_setting_that_not_always_got_there_does_not_look_quick(study_of, tmp_path, name):
    runs = study_of({"quick": (0.80, 0.82, 0.81), "lucky": (0.70, 0.72, 0.71)})
    took = iter([10.0, 40.0, 90.0, 5.0, 6.0, None])
    for _, _, path in runs:
        place = path / "summary.json"
        summary = json.loads(place.read_text())
        summary["metrics"][name.removeprefix("metrics.")] = next(took)
        place.write_text(json.dumps(summary))
    study = read_study(runs, (name, "accuracy"))
    drawn = fronts(study.settings, study.trade_offs, study.axes)
    assert drawn.views[0].traces[0]["hovertext"] == ["quick"]
    assert "lucky: no" in drawn.caption
    row = study.settings.row(0, named=True)
    # Three such times have an interval from below zero on, where no time is.
    assert (row[name], row[f"{name}_low"]) == (pytest.approx(140 / 3), 0.0)
    assert text_of(runs, tmp_path, axes=(name, "accuracy"))
    if name == "time_to_target_s":
        shown = settings_table(study)
        cells = {row[0]: row[shown.head.index("To the target")] for row in shown.rows}
        assert cells["quick"].startswith("46.7")
        assert " to " in cells["quick"]
        assert cells["lucky"] == "2 of 3 seeds"


def test_any_number_may_go_upwards(study_of, tmp_path):
    runs = study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, energy_j={"a": 3000.0, "b": 2000.0})
    study = read_study(runs, ("up_bytes", "metrics.macro_f1"))
    first = fronts(study.settings, study.trade_offs, study.axes).views[0]
    assert first.traces[0]["y"] == pytest.approx(study.settings["metrics.macro_f1"].to_list())
    assert first.layout["yaxis"]["title"]["text"] == "metrics.macro_f1"
    study = read_study(runs, ("accuracy", "energy_j"))
    first = fronts(study.settings, study.trade_offs, study.axes).views[0]
    assert first.traces[0]["y"] == pytest.approx([3.0, 2.0])
    assert first.layout["yaxis"]["title"]["text"] == "energy_j (kJ)"
    assert text_of(runs, tmp_path, axes=("up_bytes", "metrics.macro_f1"))


def test_an_asked_value_that_no_run_came_to_leaves_the_page(study_of, tmp_path):
    runs = study_of({"a": (0.80, 0.82), "b": (0.70, 0.72)}, energy_j={"a": 2.0, "b": 1.0})
    page = text_of(runs, tmp_path, axes=("time_to_target_s", "accuracy"))
    assert "no time_to_target_s and accuracy in every run" in page
    assert "As asked" not in page


def test_errors_have_no_interval_below_zero():
    rmse = Metric("rmse", "min")
    rows = pl.DataFrame(
        {"label": ["a"] * 3, "rmse": [0.1, 0.2, 1.9], "aimed": [False] * 3, "epsilon_delta": [NAN] * 3}
        | {"epsilon_guards": [""] * 3}
        | {name: [1.0] * 3 for name in (*run_sets.COSTS, "energy_low_j", "energy_high_j", "down_bytes", "arrived")}
        | {"epsilon": [NAN] * 3, "time_to_target_s": [NAN] * 3}
    )
    assert run_sets.over_seeds(rows, rmse)["rmse_low"].to_list() == [0.0]
    below = rows.with_columns(pl.Series("rmse", [-0.1, 0.2, 1.9]))
    assert run_sets.over_seeds(below, rmse)["rmse_low"][0] < 0


def test_only_costs_are_known_to_be_above_zero(study_of):
    falls = {"a": {"x": -2.0}, "b": {"x": -1.0}}
    settings = read_study(
        study_of({"a": (0.80, 0.82, 0.81), "b": (0.70, 0.72, 0.71)}, extra=falls), ("extra.x", "accuracy")
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
    found = {row["label"]: row for row in study.same_result.rows.iter_rows(named=True)}
    assert [found[label]["reached"] for label in levels] == [3, 2, 0]
    high, some, low = (found[label] for label in levels)
    assert high["energy_j_low"] < high["energy_j"] < high["energy_j_high"]
    # A mean of what would have cost more has a lower end, and no upper one.
    for one in (some, low):
        assert one["energy_j_low"] is not None
        assert one["energy_j_high"] is None
    spent = [run.rounds["energy_j"].sum() for run in study.runs[-3:]]
    assert low["energy_j"] == pytest.approx(sum(spent) / 3)
    cells = {row[0]: row for row in same_result_table(study).rows}
    assert cells["some"][1] == "2 of 3"
    assert all(cell.startswith("at least ") for cell in cells["low"][2:])
    assert "in these seeds (mean above " in cells["low"][3]
    assert not any(cell.startswith("at least") for cell in cells["high"])


def test_costs_of_the_same_result_are_tested_on_the_same_seeds(write_run):
    levels = {"low": (0.3, 0.3, 0.3), "high": (0.95, 0.95, 0.95), "also": (0.95, 0.95, 0.95)}
    runs = [
        (label, seed, write_run(f"{label}-{seed}", seed=seed + 10 * (label == "also"), level=level))
        for label, several in levels.items()
        for seed, level in enumerate(several, start=1)
    ]
    study = read_study(runs)
    found = study.same_result.dearer("energy_j")
    # `low` would cost still more: that it costs more is told, and by how much at most is not.
    least = found["low", "high"]
    assert least.is_told_apart
    assert 0 < least.low < least.found.mean
    assert least.high == math.inf
    assert not found["high", "also"].is_told_apart
    assert math.isfinite(found["high", "also"].low)
    turned = study.same_result.dearer("energy_j", [("high", "low")])["high", "low"]
    assert (turned.low, turned.is_told_apart) == (-math.inf, True)
    rows = {row[0]: row for row in dearer_table(study).rows}
    assert rows["high"][2].startswith("at most \N{MINUS SIGN}")
    assert "told apart" not in rows["high"][2]


def test_nothing_is_told_apart_by_runs_that_stopped_before(write_run):
    """The one that never got there had spent less until it ended, which does not make it the cheaper."""
    runs = [
        (label, seed, write_run(f"{label}-{seed}", seed=seed, rounds=rounds, level=level))
        for label, rounds, level in (("short", 2, 0.3), ("long", 12, 0.95))
        for seed in (1, 2, 3)
    ]
    found = read_study(runs).same_result.dearer("energy_j")["short", "long"]
    assert found.found.mean < 0
    assert found.found.is_told_apart
    assert not found.is_told_apart


def test_the_target_of_the_scenarios_is_the_level(write_run):
    runs = [(label, seed, write_run(f"{label}-{seed}", seed=seed)) for label in "ab" for seed in (1, 2)]
    assert read_study(runs).same_result.target == 0.7
    for _, _, path in runs:
        scenario = path / "scenario.yaml"
        scenario.write_text(scenario.read_text().replace("  cohort:", "  target_accuracy: 33.5 %\n  cohort:"))
    study = read_study(runs)
    assert study.same_result.target == pytest.approx(0.335)
    assert study.same_result.rows["reached"].to_list() == [2, 2]
    assert f"What 33.5{GLUE}% accuracy" in same_result_table(study).caption
    scenario.write_text(scenario.read_text().replace("33.5 %", "99 %"))
    assert read_study(runs).same_result.target == 0.7


def test_one_run_that_went_astray_does_not_spoil_the_level(write_run):
    runs = [("a", seed, write_run(f"a-{seed}", seed=seed)) for seed in (1, 2, 3, 4)]
    for _, seed, path in runs:
        place = path / "summary.json"
        place.write_text(json.dumps(json.loads(place.read_text()) | {"main_metric": vars(Metric("loss", "min"))}))
        if seed == 4:
            rounds = pl.read_parquet(path / "rounds.parquet")
            rounds.with_columns(pl.Series("loss", [2.0 * 10**turn for turn in range(12)])).write_parquet(
                path / "rounds.parquet"
            )
    found = read_study(runs).same_result
    assert 0.25 < found.target < 0.35
    assert found.rows["reached"].to_list() == [3]


@pytest.mark.parametrize("why", ["", "the loss grew without end; this is the model of round 3"])
def test_a_run_that_came_to_nothing_is_told(study_of, tmp_path, why):
    runs = study_of({"a": (0.80, 0.82, 0.81), "b": (0.70, 0.721, 0.71)})
    edited(runs[4][2], **({"verdict": why} if why else {"accuracy": None}))
    page = text_of(runs, tmp_path)
    assert "Mind: 1 run diverged or came to nothing, listed below." in page
    assert (why or "its accuracy is no number") in page
    assert read_study(runs).untested == [("b", 2, why)]
    shown = {row[0]: row[1] for row in settings_table(read_study(runs)).rows}
    assert shown == {"a": "3", "b": "3" if why else "2 of 3"}
    assert 'id="diverged"' not in text_of([run for run in runs if run[:2] != ("b", 2)], tmp_path)


def test_the_page_says_on_which_rows_runs_were_tested_and_what_that_leaves_open(study_of, tmp_path):
    runs = study_of({"a": (0.80, 0.82, 0.81), "b": (0.70, 0.721, 0.71)})
    assert "Tested on" not in text_of(runs, tmp_path)
    for _, _, path in runs:
        edited(path, scored_on="100 of 359 test rows", test_rows={"tested": 100, "all": 359})
    page = text_of(runs, tmp_path)
    assert "Tested on 100 of 359 test rows. The intervals are over seeds, all on the same rows" in page
    # 1.96 times the root of 0.71 times 0.29 / 100, of which 259 / 358 are left, for rows are drawn without return.
    assert "others would move an accuracy by up to 7.6 points (95 %)." in page


def test_a_study_that_never_learned_has_no_common_result(write_run):
    study = read_study([("a", 1, write_run(evaluated=False))])
    assert same_result_table(study) is None
    assert isinstance(study.same_result.rows, pl.DataFrame)
    assert dearer_table(study) is None
