"""Combinations of keys that no single key can judge."""

from __future__ import annotations

import pytest

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.errors import InvalidFileError
from fedlite.scenario import names
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import parse_scenario

BASE = """\
name: law
fleet: {devices: 20, mix: {phone: 80 %, watch: 20 %}}
task: {data: digits, model: mlp}
"""
DP = "privacy: {mechanism: %s, noise_multiplier: 1, clipping_norm: 1}\n"


@pytest.fixture(autouse=True)
def _two_profiles(monkeypatch):
    monkeypatch.setattr(names, "profiles", lambda: ["phone", "watch"])


@pytest.mark.parametrize(
    ("more", "key", "part"),
    [
        ("training: {clients_per_round: 21}", "training.clients_per_round", "more than the fleet's 20 devices"),
        ("training: {strategy: {name: fedbuff, concurrency: 30}}", "training.strategy.concurrency", "concurrency: 20"),
        ("training: {clients_per_round: 5, over_select: 1.2, first: 7}", "training.first", "only 6 devices are asked"),
        ("training: {strategy: fedbuff, over_select: 1.2}", "training.over_select", "has no rounds"),
        (
            "training: {strategy: fedasync, deadline: 2 min}",
            "training.deadline",
            "got 2 min with the asynchronous 'fedasync'",
        ),
        ("training: {strategy: fedasync, clients_per_round: 2}", "training.clients_per_round", "has no rounds"),
        ("training: {strategy: {name: fedbuff, buffer: 99, concurrency: 2}}", "training.strategy.buffer", "99 replies"),
        ("training: {strategy: {name: krum, num_malicious_nodes: 4}}", "training.strategy.num_malicious_nodes", "11"),
        ("training: {strategy: {name: bulyan, num_malicious_nodes: 2}}", "training.strategy.num_malicious_nodes", "11"),
        (
            "training: {strategy: {name: multikrum, num_malicious_nodes: 2, num_nodes_to_select: 9}}",
            "training.strategy.num_nodes_to_select",
            "write 8 or fewer",
        ),
        (
            "training: {strategy: {name: fedprox, proximal_mu: 0.1}, local: {proximal_mu: 0.2}}",
            "training.local.proximal_mu",
            "the strategy tells the clients",
        ),
        ("training: {local: {momentum: 0.9, optimizer: adam}}", "training.local.momentum", "moments of its own"),
        ("training: {strategy: krum, replies: reduced}", "training.replies", "needs every single reply"),
        (
            "training: {replies: reduced}\nprivacy: {mechanism: local-dp, clipping_norm: 1, epsilon: 4, delta: 1e-5}",
            "training.replies",
            "every single reply",
        ),
        ("training: {replies: reduced, failures: error}", "training.failures", "no single device's failure"),
        ("training: {replies: reduced}\n" + DP % "server-fixed-clipping", "training.replies", "every single reply"),
        ("training: {strategy: fedmedian}\n" + DP % "server-fixed-clipping", "privacy.mechanism", "fits only a mean"),
        ("training: {strategy: fedbuff}\n" + DP % "server-fixed-clipping", "privacy.mechanism", "fits only a mean"),
        (
            "privacy: {mechanism: server-adaptive-clipping, target_epsilon: 2, delta: 1e-3}",
            "privacy.target_epsilon",
            "a release of its own",
        ),
        ("wire: {up: int8}\n" + DP % "client-fixed-clipping", "wire.up", "beyond the clipping norm"),
        (
            "wire: {up: topk:0.1, error_feedback: true}\n" + DP % "client-fixed-clipping",
            "wire.error_feedback",
            "not clipped",
        ),
        (
            "clients: [{for: any, plan: {up: int4}}]\n" + DP % "client-fixed-clipping",
            "clients.0.plan.up",
            "beyond the clipping norm",
        ),
        (
            "training: {strategy: krum}\nclients: [{for: any, plan: {width: 0.5}}]",
            "clients.0.plan.width",
            "clients of different shapes",
        ),
        ("training: {strategy: krum}\nclients: [{for: any, plan: auto}]", "clients.0.plan", "clients of different"),
        (
            "clients: [{for: any, plan: {width: 0.5}}]\n" + DP % "server-fixed-clipping",
            "clients.0.plan.width",
            "give every device the full width",
        ),
        ("clients: [{for: any, plan: full}, {for: {tier: mcu}, plan: full}]", "clients.1.for", "rule 0 already has"),
        ("clients: [{for: {profile: phoen}, plan: full}]", "clients.0.for.profile", "write 'phone'"),
        ("wire: {error_feedback: true}", "wire.error_feedback", "sends weights"),
        (
            "clients: [{for: any, plan: {error_feedback: true}}]",
            "clients.0.plan.error_feedback",
            "sends weights",
        ),
        (
            "clients: [{for: any, plan: {stages: [error-feedback]}}]",
            "clients.0.plan.stages",
            "sends weights",
        ),
        (
            "wire: {up: topk:0.1}\nclients: [{for: any, plan: {stages: [error-feedback]}}]\n"
            + DP % "client-fixed-clipping",
            "clients.0.plan.stages",
            "not clipped",
        ),
    ],
)
def test_a_broken_law_names_the_key_and_the_way_out(more, key, part):
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(f"{BASE}{more}\n", "x.yaml")
    assert [problem.key for problem in caught.value.problems] == [key]
    assert part in str(caught.value)
    assert caught.value.problems[0].line > 0


def test_whom_a_sampler_draws_is_not_whoever_checks_in():
    gathered = BASE.replace("devices: 20", "devices: 20000, protocol: production")
    drawn = DP.replace("}", ", sampling: poisson}") % "server-fixed-clipping"
    with pytest.raises(InvalidFileError, match=r"privacy\.sampling: got a sampler with 'protocol: production'"):
        parse_scenario(f"{gathered}{drawn}", "x.yaml")
    parse_scenario(f"{gathered}{DP % 'server-fixed-clipping'}", "x.yaml")


def test_natural_clients_need_data_that_records_people():
    with pytest.raises(
        InvalidFileError, match=r"task\.partition: got 'natural' with 'digits', which records no people"
    ):
        parse_scenario(BASE.replace("model", "partition: natural, model"), "x.yaml")


def test_an_own_app_follows_no_plan():
    text = BASE.replace("model: mlp", "model: mlp, app: mine.app:app") + "clients: [{for: any, plan: {bits: 8}}]\n"
    with pytest.raises(InvalidFileError, match=r"clients\.0\.plan: got '8 bits' with task.app"):
        parse_scenario(text, "x.yaml")


@pytest.mark.parametrize(
    ("tail", "where"),
    [
        ("wire: {delta: true}\n", r"wire\.delta: got 'exact'"),
        ("clients: [{for: any, plan: {delta: int8+zstd}}]\n", r"clients\.0\.plan\.delta: got 'int8\+zstd'"),
    ],
)
def test_an_own_app_gets_every_model_whole(tail, where):
    text = BASE.replace("model: mlp", "model: mlp, app: mine.app:app") + tail
    with pytest.raises(InvalidFileError, match=where + " with task.app, whose devices get every model whole"):
        parse_scenario(text, "x.yaml")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("true", ("exact",)),
        ("false", ()),
        ("exact", ("exact",)),
        ("int8+zstd", ("int8", "zstd")),
        ("[fp16]", ("fp16",)),
    ],
)
def test_differences_are_asked_for_in_a_word_or_by_a_codec(written, read):
    scenario = parse_scenario(BASE + f"wire: {{delta: {written}}}\n", "x.yaml")
    assert scenario.wire.delta == read
    assert parse_scenario(dump_scenario(scenario), "x.yaml") == scenario
    assert scenario.plan_for(profile="pixel-8", tier="phone-high").delta == read


def test_a_misspelt_codec_of_differences_is_told():
    with pytest.raises(InvalidFileError, match=r"wire\.delta: got 'exakt'"):
        parse_scenario(BASE + "wire: {delta: exakt}\n", "x.yaml")


@pytest.mark.parametrize(
    "more",
    [
        "training: {clients_per_round: 5, over_select: 1.2, first: 6}",
        "training: {strategy: {name: krum, num_malicious_nodes: 3}}",
        "training: {strategy: {name: bulyan, num_malicious_nodes: 1}}",
        "training: {strategy: {name: 'builtins:dict', options: {eta: 1}}}\nclients: [{for: any, plan: {width: 0.5}}]",
        "wire: {up: topk:0.1+zstd}\n" + DP % "client-fixed-clipping",
        "wire: {up: int8+zstd, error_feedback: true}\n" + DP % "server-fixed-clipping",
        "wire: {up: int8, error_feedback: true}\nclients: [{for: any, plan: {stages: [error-feedback]}}]",
        (
            "clients: [{for: any, plan: {stages: [{name: clip, norm: 1}]}}]\n"
            "privacy: {mechanism: local-dp, clipping_norm: 1, epsilon: 4, delta: 1e-5}"
        ),
        "clients: [{for: {tier: mcu}, plan: {width: 0.5}}, {for: {profile: phone}, plan: auto}]",
        "privacy: {mechanism: local-dp, clipping_norm: 1, epsilon: 4, delta: 1e-5}\ntraining: {strategy: fedmedian}",
    ],
)
def test_what_breaks_no_law_is_taken(more):
    assert parse_scenario(f"{BASE}{more}\n").name == "law"


def test_two_broken_laws_are_both_told():
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(f"{BASE}training: {{clients_per_round: 50, replies: reduced, failures: error}}\n", "x.yaml")
    assert [problem.key for problem in caught.value.problems] == ["training.clients_per_round", "training.failures"]


def test_the_first_rule_that_fits_decides_the_plan():
    scenario = parse_scenario(
        f"{BASE}clients:\n"
        "  - {for: {profile: watch}, plan: {width: 0.5, bits: 8, down: int8}}\n"
        "  - {for: {tier: wearable}, plan: {sparsity: 90 %}}\n"
        "wire: {up: int8+zstd, down: fp16}\n"
    )
    watch = scenario.plan_for(profile="watch", tier="wearable")
    name = "width 0.5, 8 bits, int8 down"
    assert watch == Plan(name, Width(0.5), constraints=(FakeQuant(8),), up=("int8", "zstd"), down=("int8",))
    assert scenario.plan_for(profile="other", tier="wearable").constraints == (Magnitude(0.9),)
    assert scenario.plan_for(profile="phone", tier="phone-mid").is_full


def test_over_selection_rounds_up_but_never_by_float_dust():
    scenario = parse_scenario(f"{BASE}training: {{clients_per_round: 10, over_select: 1.3}}\n")
    assert (scenario.cohort, scenario.asked) == (10, 13)
    assert parse_scenario(f"{BASE}training: {{clients_per_round: 18, over_select: 1.3}}\n").asked == 20


def test_fedprox_tells_the_clients_its_proximal_term():
    scenario = parse_scenario(f"{BASE}training: {{strategy: {{name: fedprox, proximal_mu: 0.1}}}}\n")
    assert scenario.training.local_config().proximal_mu == 0.1
    assert scenario.training.strategy.arguments() == {"proximal_mu": 0.1}


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        ("up: 'topk:0.1+int8'", "topk:0.1+int8 up"),
        ("{up: sign, stages: [error-feedback]}", "error-feedback, sign up"),
        ("{techniques: [top-k]}", "error-feedback, topk:0.1+int8+zstd up"),
        ("{up: fp16}", "full"),
        ("{down: int8}", "int8 down"),
    ],
)
def test_a_plan_is_named_after_its_own_codecs(plan, name):
    text = f"{BASE}wire: {{up: fp16}}\nclients: [{{for: any, plan: {{{plan.strip('{}')}}}}}]\n"
    assert parse_scenario(text).plan_for(profile="phone", tier="phone").name == name


def test_error_feedback_that_is_written_twice_is_one_stage():
    text = (
        f"{BASE}wire: {{up: int8, error_feedback: true}}\nclients: [{{for: any, plan: {{stages: [error-feedback]}}}}]\n"
    )
    plan = parse_scenario(text).plan_for(profile="phone", tier="phone")
    assert [stage.name for stage in plan.stages] == ["error-feedback"]


MOVING = """
from dataclasses import dataclass
from fedlite.compression.structure.full import Full


@dataclass(frozen=True)
class Moving(Full):
    name = "moving"
    moves = True
"""


def test_memory_needs_coordinates_that_stay(tmp_path, monkeypatch):
    (tmp_path / "law_moving.py").write_text(MOVING, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    rule = "clients: [{for: any, plan: {structure: 'law_moving:Moving'%s}}]\n"
    wire = "wire: {up: int8, error_feedback: true}\n"
    with pytest.raises(InvalidFileError, match=r"clients\.0\.plan\.structure: got .* something else every round"):
        parse_scenario(BASE + wire + rule % "", "x.yaml")
    assert parse_scenario(BASE + wire + rule % ", error_feedback: false").name == "law"


@pytest.mark.parametrize(
    ("data", "model", "said"),
    [
        ("digits", "char-lstm", r"the shape \(1, 8, 8\), expected \(steps,\); write 'model: mlp'"),
        ("digits", "cnn1d", r".* expected \(channels, steps\) of at least 21"),
        ("digits", "lenet5", r".* expected \(channels, height, width\) of at least 12"),
        ("watch", "resnet8", r"the shape \(6, 100\), expected \(channels, height, width\) of at least 8"),
        ("shakespeare", "cnn", r"the shape \(80,\), expected .* of at least 4; name other data"),
    ],
)
def test_a_model_takes_samples_of_its_own_shape_only(data, model, said):
    text = BASE.replace("data: digits, model: mlp", f"data: {data}, model: {model}")
    with pytest.raises(InvalidFileError, match=rf"task\.model: got '{model}' with '{data}', whose samples have {said}"):
        parse_scenario(text, "x.yaml")


@pytest.mark.parametrize(
    ("data", "model"),
    [("digits", "resnet8"), ("watch", "cnn1d"), ("shakespeare", "char-lstm"), ("shakespeare", "char-transformer")],
)
def test_models_that_fit_their_data_are_taken(data, model):
    assert parse_scenario(BASE.replace("data: digits, model: mlp", f"data: {data}, model: {model}")).name == "law"


def test_classes_are_no_characters():
    with pytest.raises(
        InvalidFileError, match=r"task\.objective: got 'next-character' with 'digits', whose labels are"
    ):
        parse_scenario(BASE.replace("model: mlp", "model: mlp, objective: next-character"), "x.yaml")
