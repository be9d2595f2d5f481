"""Techniques that choose: by trying on a bench whose answers are known, and plan by plan on the real one."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.client.choosers.by_update import ByUpdate
from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import quantities
from fedlite.compose.bench_task import Effort, bench_task, uplinks
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.errors import InvalidFileError
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique
from fedlite.techniques.choosing import Learned, Reward
from fedlite.techniques.pipeline import joined
from fedlite.techniques.technique import Among, Recipe

UP = {"fp32": 1.0, "fp16": 0.5, "topk:0.1": 0.1, "topk:0.02": 0.02}


class KnownBench:
    """Answers by the plan alone: bytes of its uplink codec, bytes and accuracy of its deliveries."""

    def __init__(self, too_coarse=()):
        self.asked = []
        self._too_coarse = too_coarse

    def measure(self, recipe):
        plan = recipe.plan
        self.asked.append(plan.name)
        stored = 0.25 if plan.deliveries else 1.0
        accuracy = 0.5 if plan.up[0] in self._too_coarse else 0.9
        return {
            "accuracy": accuracy,
            "up_bytes": 1e5 * UP[plan.up[0]],
            "stored_bytes": 1e5 * stored,
            "down_bytes": 1e5,
        }


ARMS = ("none", "half-precision", "top-k:share=0.1", "top-k:share=0.02")


def learned(*stages, of=("up_bytes",), tries=20, **options):
    return Learned(stages, Reward(of, 0.95), tries, **options)


@pytest.mark.parametrize(("too_coarse", "best"), [((), "top-k:share=0.02"), (("topk:0.02",), "top-k:share=0.1")])
def test_the_bandit_finds_the_fewest_bytes_that_hold_accuracy(too_coarse, best):
    bench = KnownBench(too_coarse)
    recipe, facts = learned(ARMS).find(bench)
    assert facts["chosen"] == [best]
    assert recipe.plan.up == technique("top-k").made({"share": best.partition("=")[2]}).plan.up
    # Each arm once, and the model as it is.
    assert facts["measured"] == 4
    assert len(bench.asked) == 5
    tried = [one["arms"][0] for one in facts["tried"]]
    assert tried[:4] == list(ARMS)
    assert tried[4:].count(best) > 10


def test_q_learning_finds_the_best_path_and_measures_each_only_once():
    bench = KnownBench(("topk:0.02",))
    stages = ARMS, ("none", "static-int8")
    recipe, facts = learned(*stages, of=("up_bytes", "stored_bytes"), tries=40, explore=0.2, discount=0.9).find(bench)
    assert facts["chosen"] == ["top-k:share=0.1", "static-int8"]
    assert [one.name for one in recipe.plan.deliveries] == ["static-quantization"]
    assert facts["measured"] == len(bench.asked) - 1 <= 8


def test_the_same_tries_are_made_again():
    first, again = (learned(ARMS, explore=0.5).find(KnownBench())[1] for _ in range(2))
    assert first == again
    assert first != learned(ARMS, explore=0.5, seed=2).find(KnownBench())[1]


def test_a_reward_is_accuracy_for_each_byte_and_nothing_below_the_least():
    before = {"accuracy": 0.8, "up_bytes": 100, "stored_bytes": 100, "down_bytes": 100}
    after = {"accuracy": 0.78, "up_bytes": 20, "stored_bytes": 60, "down_bytes": 100}
    assert Reward(("up_bytes",), 0.9).worth(before, after) == pytest.approx(0.975 * 5)
    assert Reward(("up_bytes", "stored_bytes"), 0.9).worth(before, after) == pytest.approx(0.975 / 0.4)
    assert Reward(("up_bytes",), 0.98).worth(before, after) == 0.0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bandit", {"arms": ""}, "arms: got an empty list"),
        ("bandit", {"of": "bytes"}, "of: got 'bytes', expected some of"),
        ("bandit", {"tries": "0"}, "tries: got 0, expected 1 or more"),
        ("bandit", {"least": "2"}, "least: got 2.0, expected a share"),
        ("q-learning", {"arms": "none |"}, "arms: got an empty list"),
        ("adaptive-codec", {"links": "2e6 1e6"}, "links: got .* expected rising rates"),
        ("adaptive-codec", {"links": "abc"}, "links: got 'abc', expected rates in bit/s"),
    ],
)
def test_options_out_of_range_are_told(name, options, said):
    with pytest.raises(PartError, match=said):
        technique(name).made(options)


def test_an_arm_that_searches_itself_is_refused():
    with pytest.raises(PartError, match="got 'auto', which searches itself"):
        learned(("auto",)).find(KnownBench())


# -- plan by plan


SMALL = Effort(rows=400, epochs=2, rounds=3)
TASK = bench_task("digits", ("cnn",), SMALL)
COARSE, FINE = Plan("coarse", up=("int2", "zstd")), Plan("fine", up=("int8", "zstd"))


def outcome(chooser, up_bps=None):
    return Bench("cnn", TASK, SMALL, up_bps).run([Recipe(among=Among(chooser, (COARSE, FINE)))])


def test_who_chooses_sees_the_links_and_every_upload_is_one_of_the_chosen_codec():
    rates = np.array([1e6, 1e8, 1e6, 1e8])
    mixed = outcome(ByUpdate(5, links=(1e7,)), rates)
    chosen = mixed.shipped.artefact.facts["chosen"]
    assert chosen == [["coarse", "fine", "coarse", "fine"]] * 3
    coarse, fine = (Bench("cnn", TASK, SMALL).run([Recipe(plan)]).up_bytes for plan in (COARSE, FINE))
    assert coarse < mixed.up_bytes < fine
    assert mixed.up_bytes == pytest.approx((coarse + fine) / 2, rel=0.1)


def test_who_chooses_hears_the_loss_of_each_round():
    class Told(ByUpdate):
        """Keeps what it hears."""

        heard = []  # noqa: RUF012 (for the one test)

        def begin(self, setting):
            choice = super().begin(setting)
            note = choice.note

            def keep(ended):
                Told.heard.append(ended)
                note(ended)

            choice.note = keep
            return choice

    outcome(Told())
    assert [ended.round_ for ended in Told.heard] == [1, 2, 3]
    for ended in Told.heard:
        assert ended.arms.tolist() == [0, 0, 0, 0]
        assert (ended.loss > 0).all()
        assert (ended.up_bytes < 0.2 * ended.raw_bytes).all()


def test_a_recipe_that_chooses_goes_with_others():
    chosen = technique("adaptive-codec").made({})
    both = joined(chosen, technique("static-int8").made({}))
    assert both.among is not None
    assert [plan.name for plan in both.among.plans] == ["int2+zstd", "int4+zstd", "int8+zstd"]
    for plan in (both.plan, *both.among.plans):
        assert plan.deliveries == (StaticQuantization(),)
    assert [plan.up for plan in both.among.plans] == [plan.up for plan in chosen.among.plans]
    with pytest.raises(PartError, match="two that choose plans, 'by-update' and 'by-update'"):
        joined(chosen, chosen)


def test_it_is_shipped_and_priced_as_any_other():
    board = load_profile("pi-4b")
    found = quantities(outcome(ByUpdate()), board, SMALL.batch)
    assert found["stored_bytes"] > found["up_bytes"]
    assert len(uplinks(board, 4)) == 4
    assert (np.diff(uplinks(board, 4)) > 0).all()


def test_a_plan_of_a_scenario_cannot_name_a_technique_that_chooses():
    text = "name: x\nfleet: {devices: 4, mix: {pixel-8: 1}}\ntask: {data: digits, partition: iid, model: mlp}\n"
    with pytest.raises(InvalidFileError, match="which chooses among plans, expected one of parts; write 'choose'"):
        parse_scenario(text + "clients: [{for: any, plan: {techniques: [adaptive-codec]}}]\n", "x.yaml")
