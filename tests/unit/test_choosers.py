"""Choosing plans job by job: on made-up rewards with a known best arm, and in whole runs."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from fedlite import runner
from fedlite.client.assignment import ByProfile, Outcomes, Standing
from fedlite.client.choosers import CHOOSERS
from fedlite.client.choosers.bandit import Bandit
from fedlite.client.choosers.base import Asked, Chooser, Ended, Setting
from fedlite.client.choosers.by_update import ByUpdate
from fedlite.client.choosers.course import Course, reward
from fedlite.client.choosers.q_learning import QLearning
from fedlite.client.choosers.values import Values
from fedlite.client.choosing import Choosing, Menu
from fedlite.compression.part import PartError, from_record, made
from fedlite.compression.plan import Plan
from fedlite.errors import InvalidFileError
from fedlite.report import tables
from fedlite.report.run_data import read_run
from fedlite.rng import stream
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import parse_scenario

EXAMPLES = {
    "by-update": [ByUpdate(), ByUpdate(2, 0.0)],
    "bandit": [Bandit(), Bandit(0.0, 1.0)],
    "q-learning": [QLearning(), QLearning(phases=1, links=(1e6, 1e7))],
}
ALL = [part for parts in EXAMPLES.values() for part in parts]
each = pytest.mark.parametrize("part", ALL, ids=repr)


def standing(n, up_bps=1e7):
    return Standing(np.ones(n), np.broadcast_to(np.asarray(up_bps, dtype=np.float64), (n,)), np.full(n, 1e9))


def asked(round_, n=4, *, trains=True, up_bps=1e7):
    return Asked(round_, trains, np.arange(n), standing(n, up_bps))


def ended(round_, arms, loss, share, arrived=None):
    n = len(arms)
    raw = np.full(n, 1000.0)
    came = np.ones(n, dtype=bool) if arrived is None else np.array(arrived)
    return Ended(round_, np.arange(n), np.asarray(arms), came, raw * share, raw, np.full(n, loss), np.full(n, 10))


def play(choice, gains, shares, rounds, noise=0.0, seed=1, up_bps=1e7):
    """Let a choice pick; each arm takes its share of the loss away in a round. Returns the arm of each round."""
    rng, loss, picked = stream(seed, "noise"), 1.0, []
    for round_ in range(1, rounds + 1):
        arms = choice.pick(asked(round_, up_bps=up_bps))
        choice.note(ended(round_, arms, loss, np.array(shares)[arms]))
        picked.append(arms.tolist())
        loss *= 1.0 - float(np.array(gains)[arms].mean()) * (1.0 + noise * float(rng.standard_normal()))
    return picked


# -- the battery of choosers


def test_every_chooser_has_an_example_that_a_scenario_can_name():
    assert set(EXAMPLES) == set(CHOOSERS)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, CHOOSERS, Chooser) == part
            assert from_record(json.loads(json.dumps(part.record)), Chooser) == part


@each
@pytest.mark.parametrize("arms", [2, 5])
def test_picks_are_arms_one_for_each_job_and_the_same_when_asked_again(part, arms):
    choices = [part.begin(Setting(arms, 40, 7)) for _ in range(2)]
    gains, shares = np.linspace(0.05, 0.01, arms), np.linspace(0.1, 1.0, arms)
    first, again = (play(choice, gains, shares, 40, noise=0.5) for choice in choices)
    assert first == again
    assert set(np.ravel(first)) <= set(range(arms))
    assert all(len(picked) == 4 for picked in first)
    # A message of the same round, later: nobody tells what else its clients would have done.
    assert choices[0].pick(asked(40)).tolist() == first[-1]


@each
def test_tests_pull_no_arm(part):
    tested, plain = (part.begin(Setting(3, 40, 7)) for _ in range(2))
    picked = []
    for round_ in range(1, 20):
        tested.pick(asked(round_, trains=False))
        picked.append([choice.pick(asked(round_)).tolist() for choice in (tested, plain)])
        tested.pick(asked(round_, trains=False))
        for choice, arms in zip((tested, plain), picked[-1], strict=True):
            choice.note(ended(round_, np.array(arms), 1.0 / round_, 0.5))
    assert all(first == second for first, second in picked)


@each
def test_rounds_of_which_nobody_arrived_teach_nothing_and_break_nothing(part):
    choice = part.begin(Setting(3, 40, 7))
    for round_ in range(1, 12):
        arms = choice.pick(asked(round_))
        choice.note(ended(round_, arms, np.nan, 0.5, arrived=[False] * 4))
    assert set(choice.pick(asked(12)).tolist()) <= {0, 1, 2}


# -- values


def pulls(values, means, n, seed=3, noise=0.3):
    rng, dice = stream(seed, "reward"), stream(seed, "dice")
    arms = []
    for _ in range(n):
        arm = values.pick("only", dice)
        values.learn("only", arm, means[arm] + noise * float(rng.standard_normal()))
        arms.append(arm)
    return np.array(arms)


def test_the_best_of_known_arms_is_found_and_regret_stays_far_below_chance():
    means = np.array([0.1, 0.5, 0.3, 0.2])
    played = np.array([pulls(Values(4, 0.1, 0.1), means, 600, seed=seed) for seed in range(5)])
    assert ((played[:, 300:] == 1).mean(axis=1) > 0.8).all()
    regret = (means.max() - means[played]).sum(axis=1)
    assert regret.mean() < 0.2 * 600 * float(means.max() - means.mean())


def test_every_arm_is_tried_once_first_and_without_exploration_only_the_best_after_that():
    arms = pulls(Values(3, 0.0, 0.5), np.array([0.2, 0.9, 0.5]), 50, noise=0.0)
    assert arms[:3].tolist() == [0, 1, 2]
    assert set(arms[3:].tolist()) == {1}


def test_a_value_moves_by_its_step_and_what_follows_counts():
    values = Values(2, 0.0, 0.25, discount=0.5)
    values.learn("a", 0, 1.0)
    assert values.of("a") == [1.0, None]
    values.learn("a", 0, 3.0)
    assert values.of("a") == [1.5, None]
    values.learn("b", 1, 2.0, following="a")
    assert values.of("b") == [None, 2.0 + 0.5 * 1.5]
    assert values.best("a") == 0
    assert values.best("b") == 1


def test_a_path_whose_first_step_costs_is_found_by_what_comes_after():
    """Going right costs at first and pays at the end; a table without a discount never learns it."""

    def best(discount):
        values, dice = Values(2, 0.2, 0.3, discount), stream(1, "dice")
        for _ in range(300):
            first = values.pick("start", dice)
            values.learn("start", first, -0.1 if first else 0.0, "right" if first else "left")
            second = values.pick("right" if first else "left", dice)
            values.learn("right" if first else "left", second, 1.0 if first and second else 0.0)
        return values.best("start")

    assert best(0.9) == 1
    assert best(0.0) == 0


# -- what each of them does


def test_a_reward_is_the_share_of_the_loss_for_each_update_sent():
    assert reward(2.0, 1.5, 0.25) == 1.0
    assert reward(2.0, 3.0, 0.5) == -1.0
    assert reward(0.0, 0.0, 0.5) == 0.0


def test_the_course_weighs_by_examples_and_counts_arrivals_only():
    course = Course()
    part = Ended(
        1, np.arange(3), np.array([0, 1, 1]), np.array([True, True, False]), np.array([10.0, 20, 999]),
        np.array([100.0, 100, 100]), np.array([1.0, 4.0, 100.0]), np.array([30, 10, 10]),
    )  # fmt: skip
    course.add(part)
    assert list(course.closed(1)) == []
    assert list(course.closed(2)) == [(1, (30 * 1.0 + 10 * 4.0) / 40)]
    assert list(course.closed(3)) == []
    assert (course.share(1, 0), course.share(1, 1), course.share(1, 2)) == (0.1, 0.2, None)


def test_bits_go_up_one_step_when_the_average_has_not_fallen_for_so_many_rounds():
    choice = ByUpdate(patience=2, smoothing=0.0).begin(Setting(3, 40, 1))
    losses = [1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7]
    levels = []
    for round_, loss in enumerate(losses, start=1):
        arms = choice.pick(asked(round_))
        levels.append(int(arms[0]))
        choice.note(ended(round_, arms, loss, 0.1))
    # Rounds 3 and 5 have one loss, and then 7 and 9.
    assert levels == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_a_device_on_a_fast_link_is_as_many_plans_ahead_as_rates_it_reaches():
    choice = ByUpdate(links=(1e6, 1e7)).begin(Setting(3, 40, 1))
    assert choice.pick(asked(1, up_bps=np.array([5e5, 1e6, 9e6, 1e8]))).tolist() == [0, 1, 1, 2]
    few = ByUpdate(links=(1e6, 1e7)).begin(Setting(2, 40, 1))
    assert few.pick(asked(1, up_bps=1e8)).tolist() == [1] * 4


def test_smoothing_forgives_a_single_bad_round():
    def level(smoothing):
        choice = ByUpdate(patience=1, smoothing=smoothing).begin(Setting(2, 40, 1))
        for round_, loss in enumerate([1.0, 0.7, 0.72, 0.5, 0.4], start=1):
            choice.note(ended(round_, choice.pick(asked(round_)), loss, 0.1))
        return int(choice.pick(asked(6))[0])

    assert (level(0.0), level(0.9)) == (1, 0)


@pytest.mark.parametrize("part", [Bandit(0.1, 0.3), QLearning(0.1, 0.3, 0.0, phases=1)], ids=["bandit", "table"])
def test_the_plan_that_brings_most_for_its_bytes_is_found(part):
    # The second takes half as much away with a tenth of the bytes; the third hardly anything.
    picked = play(part.begin(Setting(3, 200, 5)), [0.05, 0.025, 0.001], [1.0, 0.1, 0.05], 200, noise=0.3)
    assert [arms[0] for arms in picked[:3]] == [0, 1, 2]
    assert np.mean(np.array(picked[50:]) == 1) > 0.75


def test_all_jobs_of_a_round_have_one_plan_or_one_for_each_class_of_links():
    links = [1e6, 1e8, 1e6, 1e8]
    for arms in play(Bandit(0.5).begin(Setting(3, 60, 5)), [0.01] * 3, [1.0] * 3, 60, up_bps=links):
        assert len(set(arms)) == 1
    picked = play(QLearning(0.5).begin(Setting(3, 60, 5)), [0.01] * 3, [1.0] * 3, 60, up_bps=links)
    assert all((a, b) == (c, d) for a, b, c, d in picked)
    assert any(a != b for a, b, *_ in picked)


def test_the_table_learns_another_plan_for_another_phase():
    choice, loss, picked = QLearning(0.1, 0.5, 0.0, phases=2).begin(Setting(2, 200, 9)), 1.0, []
    for round_ in range(1, 201):
        arms = choice.pick(asked(round_))
        choice.note(ended(round_, arms, loss, np.array([1.0, 1.0])[arms]))
        best = 0 if round_ <= 100 else 1
        loss *= 1.0 - (0.02 if arms[0] == best else 0.005)
        picked.append(int(arms[0]))
    assert np.mean(np.array(picked[20:100]) == 0) > 0.8
    assert np.mean(np.array(picked[120:]) == 1) > 0.8


@pytest.mark.parametrize(
    ("part", "options", "said"),
    [
        (ByUpdate, {"patience": 0}, "patience: got 0, expected 1 or more"),
        (ByUpdate, {"smoothing": 1.0}, "smoothing: got 1.0, expected 0 up to below 1"),
        (Bandit, {"explore": 1.5}, "explore: got 1.5, expected a share"),
        (Bandit, {"step": 0.0}, "step: got 0.0, expected above 0"),
        (QLearning, {"discount": 1.0}, "discount: got 1.0, expected 0 up to below 1"),
        (QLearning, {"phases": 0}, "phases: got 0, expected 1 or more"),
        (QLearning, {"links": (2e6, 1e6)}, "links: got .* expected rising rates"),
    ],
)
def test_options_out_of_range_are_told(part, options, said):
    with pytest.raises(PartError, match=said):
        part(**options)


# -- assignments


class Odd:
    """Gives the second plan to odd devices, and keeps what it hears."""

    def __init__(self):
        self.heard = []

    def pick(self, asked):
        return asked.devices % 2

    def note(self, ended):
        self.heard.append(ended)


def test_stand_ins_are_replaced_and_each_chooser_hears_of_its_own_jobs():
    fixed, stand_in = Plan("fixed"), Plan("rule 1")
    menu, odd = (Plan("a"), Plan("b")), Odd()
    inner = ByProfile([fixed, stand_in], np.array([0, 1, 1, 0, 1]))
    assignment = Choosing(inner, [Menu(stand_in, menu, odd)], lambda devices, _: standing(len(devices)))
    plans = assignment.plans(np.arange(5), 3, 0.0)
    assert [plan.name for plan in plans] == ["fixed", "b", "a", "fixed", "a"]
    n = np.arange(5)
    assignment.note(Outcomes(3, n, plans, n > 1, n * 10.0, n * 100.0, n / 10, n + 1))
    (told,) = odd.heard
    assert told.devices.tolist() == [1, 2, 4]
    assert told.arms.tolist() == [1, 0, 0]
    assert told.arrived.tolist() == [False, True, True]
    assert told.up_bytes.tolist() == [10.0, 20.0, 40.0]
    assert told.examples.tolist() == [2, 3, 5]


SCENARIO = """
name: choosing
seed: 3
fleet: {{devices: 12, mix: {{pixel-8: 50 %, wileyfox-swift: 50 %}}}}
task: {{data: digits, partition: {{kind: dirichlet, alpha: 0.1}}, model: {{name: mlp, options: {{hidden: [16]}}}}}}
training: {{rounds: {rounds}, clients_per_round: 6, local: {{batch_size: 16, lr: 0.1}}{more}}}
clients:
{rules}
"""
MENU = "among: {4 bits: {up: int4+zstd}, 8 bits: {up: int8+zstd}, whole: full}"
RULES = f"""
  - for: {{profile: pixel-8}}
    when: {{up_below: 20 Mbit/s}}
    plan: {{up: topk:0.1}}
  - for: any
    choose: CHOOSER
    {MENU}
"""


class StopError(Exception):
    """Stands for whatever ends a run in the middle."""


def scenario(chooser, rounds=9, more=""):
    return parse_scenario(SCENARIO.format(rounds=rounds, more=more, rules=RULES.replace("CHOOSER", chooser)))


def run(folder, chooser, settings=None, **options):
    return runner.run(scenario(chooser, **options), out=folder, settings=settings or runner.Settings("local"))


CHOICES = ["bandit", "{name: q-learning, links: [1e7]}", "{name: by-update, patience: 1, smoothing: 0.0}"]


@pytest.mark.parametrize("chooser", CHOICES)
def test_choices_are_in_the_ledger_and_an_interrupted_run_resumes_to_the_same_bits(tmp_path, chooser):
    whole = run(tmp_path / "whole", chooser)
    plans = set(whole.clients["plan"])
    assert plans <= {"4 bits", "8 bits", "whole", "topk:0.1 up"}
    assert len(plans - {"topk:0.1 up"}) > 1

    def stop_in_the_middle(progress):
        if progress.round_ == 5:
            raise StopError

    with pytest.raises(StopError):
        runner.run(
            scenario(chooser), out=tmp_path / "cut", settings=runner.Settings("local"), progress=stop_in_the_middle
        )
    resumed = runner.resume(tmp_path / "cut", settings=runner.Settings("local"))
    assert resumed.summary["digest"] == whole.summary["digest"]


@pytest.mark.ray
def test_ray_gives_the_bits_of_this_process(tmp_path):
    here = run(tmp_path / "local", "{name: q-learning, links: [1e7]}")
    there = run(tmp_path / "ray", "{name: q-learning, links: [1e7]}", runner.Settings("ray", 2))
    assert there.summary["digest"] == here.summary["digest"]


def test_a_bandit_has_one_plan_in_a_round_and_tries_all(tmp_path):
    rows = run(tmp_path / "run", "bandit").clients.filter(pl.col("plan") != "topk:0.1 up")
    assert (rows.group_by("round").agg(pl.col("plan").n_unique())["plan"] == 1).all()
    first = rows.sort("round").unique("round", maintain_order=True)["plan"].to_list()
    assert first[:2] == ["4 bits", "8 bits"]
    assert "whole" in first


def test_asynchronous_servers_choose_too(tmp_path):
    more = ", strategy: {name: fedbuff, buffer: 2, concurrency: 4}"
    text = SCENARIO.format(rounds=8, more=more, rules=RULES.replace("CHOOSER", "bandit")).replace(
        "clients_per_round: 6, ", ""
    )
    done = runner.run(parse_scenario(text), out=tmp_path / "run", settings=runner.Settings("local"))
    assert len(set(done.clients["plan"])) > 2


def test_the_report_has_a_row_for_each_plan_that_a_class_had(tmp_path):
    done = run(tmp_path / "run", "bandit")
    data = read_run(done.path)
    found = tables.by_plan(data.fleet, tables.main_jobs(data.clients))
    mine = pl.col("up_bytes").filter(pl.col("outcome") == "arrived").mean()
    ledger = done.clients.group_by("profile", "plan").agg(pl.len().alias("jobs"), mine)
    keys = ["profile", "plan"]
    assert found.select(*keys, "jobs", "up_bytes").sort(keys).rows() == ledger.sort(keys).rows()
    page = (done.path / "report.html").read_text()
    assert all(f">{name}</td>" in page for name in ("4 bits", "8 bits", "whole"))


def test_a_fixed_plan_has_the_row_that_it_had(tmp_path):
    text = SCENARIO.format(rounds=2, more="", rules="  - {for: {profile: pixel-8}, plan: {width: 0.5}}")
    done = runner.run(parse_scenario(text), out=tmp_path / "run", settings=runner.Settings("local"))
    data = read_run(done.path)
    found = tables.by_plan(data.fleet, tables.main_jobs(data.clients))
    assert found.height == data.fleet.height
    for name in ("plan", "train_s_per_round", "peak_bytes", "devices", "plan_remark"):
        assert dict(found.select("profile", name).iter_rows()) == dict(data.fleet.select("profile", name).iter_rows())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{for: any}", "got neither plan nor choose, expected one of them"),
        (f"{{for: any, plan: full, choose: bandit, {MENU}}}", "got both plan and choose"),
        (f"{{for: any, plan: full, {MENU}}}", "got among without choose"),
        ("{for: any, choose: bandit, among: {one: full}}", "got 1 plans to choose from, expected 2 or more"),
        ("{for: any, choose: bandit, among: {one: full, two: auto}}", "got 'auto' among plans"),
        (f"{{for: any, choose: bandid, {MENU}}}", "got 'bandid', expected one of bandit, by-update, q-learning"),
        ("{for: any, choose: bandit, among: {one: full, two: {up: int9}}}", r"clients\.0\.among\.two\.up: got 'int9'"),
    ],
)
def test_a_rule_that_says_too_much_or_too_little_is_refused(rule, said):
    with pytest.raises(InvalidFileError, match=said):
        parse_scenario(SCENARIO.format(rounds=2, more="", rules=f"  - {rule}"), "x.yaml")


def test_every_plan_to_choose_from_is_judged():
    rules = "  - {for: any, choose: bandit, among: {one: full, two: {width: 0.5}}}"
    with pytest.raises(InvalidFileError, match=r"clients\.0\.among\.two\.width: got width 0.5 with strategy 'krum'"):
        parse_scenario(SCENARIO.format(rounds=2, more=", strategy: krum", rules=rules), "x.yaml")


def test_what_is_written_out_is_read_again():
    given = scenario("{name: q-learning, links: [1e7]}")
    assert parse_scenario(dump_scenario(given)) == given
