"""How published results are judged: rounds to a target, verdicts on claims, and settings that claims name."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import polars as pl
import pytest

from fedlite.scenario.strict_yaml import read

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "benchmarks" / "papers"
sys.path.insert(0, str(BENCH))

from claims import AsGood, Better, Figure, GainsMore, Verdict, over_seeds  # noqa: E402 - a folder of scripts
from measures import Accuracy, ToTarget, Value, first_reached, scored  # noqa: E402
from published import PUBLISHED  # noqa: E402
from run import page, verdict  # noqa: E402

COST, SHARE = ToTarget(0.97), Accuracy()


def known(**settings):
    """Return values of settings by seed; a cost below zero stands for a run that spent so much and never got there."""
    return lambda label, _: {
        seed: Value(abs(number), reached=number >= 0) for seed, number in enumerate(settings[label])
    }


def curve(accuracies, every=10):
    rounds = range(len(accuracies) * every)
    return pl.DataFrame(
        {
            "round": list(rounds),
            "start_s": [100.0 + 2 * n for n in rounds],
            "end_s": [102.0 + 2 * n for n in rounds],
            "arrived": [3] * len(rounds),
            "up_bytes": [5] * len(rounds),
            "accuracy": [accuracies[n // every] if n % every == 0 else math.nan for n in rounds],
        }
    )


def test_rounds_to_a_target_are_read_off_straight_lines_between_tests():
    rounds = scored(curve([0.5, 0.9, 0.98]))
    assert rounds["round"].to_list() == [0, 10, 20]
    assert first_reached(rounds, 0.94, "round").number == pytest.approx(15.0)
    assert first_reached(rounds, 0.9, "round").number == pytest.approx(10.0)
    # Round 0 takes 2 s, and three updates.
    assert first_reached(rounds, 0.94, "time_s").number == pytest.approx(32.0)
    assert first_reached(rounds, 0.94, "updates").number == pytest.approx(48.0)


def test_a_fall_before_the_target_is_not_followed():
    """The lines join the best so far: 0.9 in round 10 and still in round 20, 1.0 in round 30."""
    assert first_reached(scored(curve([0.5, 0.9, 0.6, 1.0])), 0.95, "round").number == pytest.approx(25.0)


def test_a_target_that_the_first_test_has_is_reached_there_and_one_above_all_never():
    rounds = scored(curve([0.9, 0.95]))
    assert first_reached(rounds, 0.9, "round") == Value(0.0)
    assert first_reached(rounds, 0.96, "round") == Value(10.0, reached=False)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ((80.0, 90.0, 100.0), Verdict.REPRODUCED),
        ((40.0, 40.0, 40.0), Verdict.SAME_ORDER),
        ((250.0, 250.0, 250.0), Verdict.SAME_ORDER),
        ((20.0, 20.0, 20.0), Verdict.NOT_REPRODUCED),
        ((80.0, 90.0, -100.0), Verdict.NOT_REPRODUCED),
    ],
)
def test_a_figure_is_held_against_a_fourth_and_the_root_of_ten(ours, verdict):
    judged = Figure("", "87", "a", COST, 87.0).judge(known(a=ours))
    assert judged.verdict is verdict


def test_what_never_got_there_is_more_than_it_spent_and_has_no_interval():
    values = known(a=(80.0, 90.0, -100.0))("a", COST)
    assert math.isnan(over_seeds(values).high)
    judged = Figure("", "87", "a", COST, 87.0).judge(known(a=(80.0, 90.0, -100.0)))
    assert judged.ours == "more than 90, reached in 2 of 3"


@pytest.mark.parametrize(
    ("mine", "others", "figure", "verdict"),
    [
        ((10.0, 11.0, 12.0), (30.0, 33.5, 36.0), None, Verdict.REPRODUCED),
        ((10.0, 11.0, 12.0), (30.0, 33.5, 36.0), 3.3, Verdict.REPRODUCED),
        ((10.0, 11.0, 12.0), (30.0, 33.5, 36.0), 7.6, Verdict.SAME_ORDER),
        ((10.0, 11.0, 12.0), (30.0, 10.0, 13.0), None, Verdict.UNDECIDED),
        # Not told apart: the figure decides, which may lie in the interval of the factor, or not.
        ((10.0, 11.0, 12.0), (30.0, 10.0, 13.0), 3.3, Verdict.UNDECIDED),
        ((10.0, 11.0, 12.0), (11.0, 11.0, 12.0), 3.3, Verdict.NOT_REPRODUCED),
        ((10.0, 11.0, 12.0), (9.0, 11.0, 12.0), 1.05, Verdict.UNDECIDED),
        ((10.0, 11.0, 12.0), (9.0, 11.0, 12.0), None, Verdict.NOT_REPRODUCED),
        ((30.0, 33.5, 36.0), (10.0, 11.0, 12.0), None, Verdict.NOT_REPRODUCED),
        # Who is said to be better has to get there; the other need not, and spends more than it is counted with.
        ((10.0, 11.0, -12.0), (30.0, 33.5, 36.0), None, Verdict.NOT_REPRODUCED),
        ((10.0, 11.0, 12.0), (30.0, 33.5, -36.0), None, Verdict.REPRODUCED),
    ],
)
def test_one_setting_is_better_where_its_seeds_say_so(mine, others, figure, verdict):
    judged = Better("", "", "a", "b", COST, figure).judge(known(a=mine, b=others))
    assert judged.verdict is verdict
    assert judged.ours.startswith("at least") == (any(number < 0 for number in others))


def test_shares_are_compared_in_points_and_costs_in_factors():
    shares = Better("", "", "a", "b", SHARE, 0.22).judge(known(a=(0.9, 0.91, 0.9), b=(0.7, 0.7, 0.71)))
    assert (shares.ours[:12], shares.verdict) == ("+20.0 points", Verdict.REPRODUCED)
    costs = Better("", "", "a", "b", COST).judge(known(a=(10.0, 20.0, 30.0), b=(20.0, 40.1, 60.0)))
    assert costs.ours == "2 times (1.99 to 2.01)"


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ((0.949, 0.950, 0.951), Verdict.REPRODUCED),
        ((0.930, 0.950, 0.970), Verdict.UNDECIDED),
        ((0.929, 0.930, 0.931), Verdict.NOT_REPRODUCED),
    ],
)
def test_as_good_is_what_surely_loses_less_than_a_point(mine, verdict):
    judged = AsGood("", "", "a", "b", SHARE).judge(known(a=mine, b=(0.95, 0.951, 0.952)))
    assert judged.verdict is verdict


@pytest.mark.parametrize(
    ("there", "ours", "verdict"),
    [
        ((0.51, 0.52, 0.51), "+19.0 points", Verdict.REPRODUCED),
        ((0.51, 0.95, 0.51), "+4.7 points", Verdict.UNDECIDED),
        ((0.80, 0.95, 0.51), "-5.0 points", Verdict.NOT_REPRODUCED),
        ((0.90, 0.91, 0.90), "-20.0 points", Verdict.NOT_REPRODUCED),
    ],
)
def test_a_gain_is_larger_here_than_there_where_seeds_tell_the_gains_apart(there, ours, verdict):
    """A gain of 0.2, 0.21 and 0.2 here, on the same seeds as the gains there over 0.5."""
    values = known(a=(0.5, 0.52, 0.7), b=(0.3, 0.31, 0.5), c=there, d=(0.5, 0.5, 0.5))
    judged = GainsMore("", "", ("a", "b"), ("c", "d"), SHARE).judge(values)
    assert judged.ours.startswith(ours)
    assert judged.verdict is verdict


def test_a_verdict_says_what_was_not_met():
    met = {"paper": "87", "verdict": Verdict.REPRODUCED}
    assert verdict(met) == "reproduced"
    assert verdict(met | {"paper": "order only"}) == "direction only"
    assert verdict(met | {"paper": "order only", "but": "by chance"}) == "direction only, but by chance"
    assert verdict({"paper": "order only", "verdict": Verdict.UNDECIDED}) == "undecided"
    assert verdict(met | {"verdict": Verdict.NOT_REPRODUCED}) == "**not reproduced**"


def test_the_table_of_claims_is_that_of_the_rules_that_are_told():
    assert (BENCH / "results.md").read_text() == page(json.loads((BENCH / "results.json").read_text()))


def test_every_study_of_papers_has_claims_and_every_claim_settings_of_its_study():
    studies = {path.stem: path for path in (ROOT / "scenarios" / "papers").glob("*.yaml")}
    assert sorted(PUBLISHED) == sorted(studies)
    for name, (_, claims) in PUBLISHED.items():
        told = read(studies[name].read_text(), str(studies[name])).value
        labels = {one["label"] for one in told["list"]}
        named = {label for claim in claims for label in claim.labels}
        assert named <= labels
        assert len(told["seeds"]) >= 3
