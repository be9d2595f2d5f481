"""Steps, waves and presets come to one form; a rate to another."""

from __future__ import annotations

import pytest

from fedlite.scenario.rollout.presets import PRESETS
from fedlite.scenario.rollout.steps import Step
from fedlite.units import DAY_S, HOUR_S


def steps(plans, strategy, gates="[]"):
    return plans.read(strategy=f"strategy: {strategy}\n", gates=f"gates: {gates}\n").steps


def test_what_stands_between_two_weights_is_held_analysed_and_approved_in_this_order(plans):
    got = plans.read(
        strategy="""\
strategy:
  steps:
    - pause: {duration: 1 h}
    - setWeight: 1 %
    - pause: {duration: 10 h}
    - pause: {duration: 2 h}
    - analysis: [installs]
    - pause: {}
    - analysis: [installs]
    - pause: {duration: 3 h}
    - setWeight: 50 %
"""
    ).steps
    assert got == (
        Step(0, "before", 0.0, 0, hold_s=HOUR_S),
        Step(1, "1 %", 0.01, 0, hold_s=12 * HOUR_S, gates=("installs",), waits=True),
        Step(1, "1 %", 0.01, 0, gates=("installs",)),
        Step(1, "1 %", 0.01, 0, hold_s=3 * HOUR_S),
        Step(2, "50 %", 0.5, 0),
    )


def test_waves_add_up_by_the_devices_that_they_mean(plans):
    got = steps(
        plans,
        """
  waves:
    - {count: 100, start: 1 h}
    - {percent: 10 %, filter: {tiers: [phone-low]}, after: 5 h}
    - {percent: 5 %, start: 1 d}
    - {percent: 15 %, installed: 60 %, after: 2 h, approval: true}
    - {rest: true, after: 1 d}""",
    )
    assert [(step.number, step.weight, step.count, step.tiers) for step in got] == [
        (0, 0.0, 0, ()),
        (1, 0.0, 100, ()),
        (2, 0.1, 0, ("phone-low",)),
        (3, 0.05, 100, ()),
        (4, 0.2, 100, ()),
        (5, 1.0, 100, ()),
    ]
    # The third begins a day after the rollout, which is 18 h after the second.
    assert [step.hold_s / HOUR_S for step in got] == [1, 5, 18, 2, 24, 0]
    assert [(step.installed, step.waits) for step in got[3:]] == [(0.6, True), (None, False), (None, False)]


def test_a_share_of_few_devices_is_one_at_least_and_never_more_than_there_are():
    assert [Step(1, "", 0.01, 0).devices(n) for n in (0, 1, 100, 150, 1000)] == [0, 1, 1, 2, 10]
    # 0.07 * 100 is a hair above seven.
    assert Step(1, "", 0.07, 0).devices(100) == 7
    assert Step(1, "", 0.5, 30).devices(40) == 40
    assert Step(1, "", 1.0, 0).devices(7) == 7


@pytest.mark.parametrize(
    ("preset", "weights", "hold_s", "installed", "waits"),
    [
        ("apple-phased", (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0), DAY_S, None, False),
        ("play-staged", (0.05, 0.1, 0.2, 0.5, 1.0), DAY_S, None, True),
        ("hawkbit-groups", (0.2, 0.4, 0.6, 0.8, 1.0), 0.0, 0.5, False),
        ("mender-phases", (0.05, 0.2, 1.0), DAY_S, None, False),
    ],
)
def test_a_preset_of_steps_is_what_its_system_does(plans, preset, weights, hold_s, installed, waits):
    got = steps(plans, f"{{preset: {preset}}}")
    assert tuple(step.weight for step in got) == weights
    assert [step.number for step in got] == list(range(1, len(weights) + 1))
    assert {(step.hold_s, step.installed, step.waits) for step in got[:-1]} == {(hold_s, installed, waits)}
    assert (got[-1].hold_s, got[-1].installed, got[-1].waits) == (0.0, None, False)


def test_apple_lets_everybody_in_on_the_seventh_day(plans):
    assert sum(step.hold_s for step in steps(plans, "{preset: apple-phased}")) == 6 * DAY_S


def test_a_rate_has_no_steps(plans):
    plan = plans.read(strategy="strategy: {preset: aws-exponential}\n", gates="gates: []\n")
    assert plan.steps == ()
    rate = plan.strategy.paced
    assert (rate.base_per_minute, rate.factor, rate.increase.notified, rate.most_per_minute) == (50, 2.0, 1000, 1000)
    assert plans.read().strategy.paced is None


def test_gates_without_a_period_are_analysed_at_every_end_of_a_preset(plans):
    gates = """[
  {name: a, metric: install_failure, method: exact, baseline: 1 %},
  {name: b, metric: install_failure, method: exact, baseline: 1 %, every: 1 h}]"""
    assert {step.gates for step in steps(plans, "{preset: apple-phased}", gates)} == {("a",)}


def test_every_preset_is_a_strategy_in_order_and_says_where_it_is_from(plans):
    for name, preset in PRESETS.items():
        assert steps(plans, f"{{preset: {name}}}") or preset.strategy.keys() == {"rate"}
        assert "(" in preset.words
