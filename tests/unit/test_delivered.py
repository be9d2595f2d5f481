"""What a run ships under each plan: named in a scenario as techniques or deliveries, tested, told everywhere."""

from __future__ import annotations

import io
import json
import types

import numpy as np
import pytest
import torch
from rich.console import Console

from fedlite import wire
from fedlite.compose import delivered
from fedlite.compose.deploying import Deployment, deploy
from fedlite.compose.learning import prepare
from fedlite.compose.shipping import Packed
from fedlite.compression.constraint.fake_quant import FakeQuant, fake_quantize
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.devices.duty import Use
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.learning.data.load import load
from fedlite.report.console import summary_table
from fedlite.report.plan_chapter import inference
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page
from fedlite.report.words import percent, quantity
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: tiny
fleet:
  devices: 8
  mix: {pixel-8: 50 %, pi-4b: 25 %, galaxy-a52: 25 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: DATA, partition: iid, model: MODEL}
training: {strategy: fedavg, rounds: 2, clients_per_round: 4, local: {epochs: 2, lr: 0.1}}
clients:
  - for: {profile: pixel-8}
    plan: PLAN
  - for: {profile: pi-4b}
    plan: {width: 0.5}
"""


def scenario(plan, model="mlp", data="digits"):
    return parse_scenario(SCENARIO.replace("PLAN", plan).replace("MODEL", model).replace("DATA", data))


def rows():
    """Data of the user's own, of which nothing is known before the run."""
    return load("digits")


def mistakes(plan, model="mlp"):
    with pytest.raises(InvalidFileError) as caught:
        scenario(plan, model)
    return str(caught.value)


@pytest.mark.parametrize(
    ("plan", "model", "said"),
    [
        ("{techniques: [channel-gating, static-int8]}", "cnn", "got a model as the structure, channel-gating left it"),
        ("{techniques: [structured-pruning, early-exit]}", "cnn-exits", "with which it does not go together"),
        ("{techniques: [one-shot-pruning, battery-width]}", "cnn", "expected parts that fit each other"),
        ("{techniques: [top-k], up: int8}", "cnn", "up: got 'int8' beside the technique 'top-k'"),
        ("{techniques: [depthfl]}", "cnn", "{name: cnn-exits, options: {outputs: all}}, objective: exits}'"),
        ("{techniques: [{name: lora, rank: 2}]}", "cnn", "layers: {name: lora, rank: 2, targets: [query, value]}"),
    ],
)
def test_parts_that_do_not_fit_each_other_or_the_task_are_refused_with_what_helps(plan, model, said):
    assert said in mistakes(plan, model)


def test_what_the_remedy_says_is_in_order():
    options = "{name: cnn-exits, options: {outputs: all}}"
    scenario("{techniques: [depthfl]}", options + ", objective: exits")
    with pytest.raises(InvalidFileError, match="objective: exits"):
        scenario("{techniques: [depthfl]}", options)


def test_who_chooses_needs_something_to_choose_from():
    text = SCENARIO.replace("plan: PLAN", "choose: bandit").replace("MODEL", "mlp").replace("DATA", "digits")
    with pytest.raises(InvalidFileError, match="got 0 plans to choose from, expected 2 or more"):
        parse_scenario(text)


def test_a_technique_is_short_for_its_parts():
    short = scenario("{techniques: [{name: unstructured-pruning, sparsity: 0.7}, static-int8]}").clients[0].plan
    long = (
        scenario(
            "{constraints: [{name: magnitude, sparsity: 0.7}], deliveries: [static-quantization],"
            " up: nonzero+fp16+zstd, down: nonzero+fp16+zstd}"
        )
        .clients[0]
        .plan
    )
    plain = (("fp32",), ("fp32",))
    assert short.plan(*plain) == long.plan(*plain)
    assert short.plan(*plain).label == "70% sparse, static int8"
    told = scenario("{techniques: [unstructured-pruning], up: int8}").clients[0].plan.plan(*plain)
    assert (told.up, told.down) == (("int8",), ("nonzero", "fp16", "zstd"))


def test_mistakes_in_techniques_are_told_with_a_remedy():
    assert "static-int8" in mistakes("{techniques: [static-int9]}")
    assert "expected calibration, rows, keep; write 'rows'" in mistakes("{techniques: [{name: static-int8, row: 3}]}")
    assert "'auto', which searches for a plan" in mistakes("{techniques: [auto]}")
    assert "begins with a net that a server has trained" in mistakes("{techniques: [distillation]}")
    assert "got the delivery 'static-quantization' 2 times" in mistakes("{techniques: [static-int8, qat-int8]}")
    assert "keep 'auto' or name the plan yourself" in mistakes("{auto: true, techniques: [static-int8]}")


@pytest.mark.parametrize(
    ("plan", "model", "told"),
    [
        ("{techniques: [compact-net]}", "mlp", "write 'task: {model: {name: mobilenet-v2}}'"),
        ("{techniques: [{name: circulant-features, block: 4}]}", "mlp", "task: {layers: {name: circulant, block: 4}}"),
        ("{techniques: [depthfl]}", "resnet8-exits", "{name: resnet8-exits, options: {outputs: all}}"),
        ("{techniques: [depthfl]}", "{name: resnet8-exits, options: {outputs: all}}, objective: exits", ""),
        ("{techniques: [circulant-features]}", "mlp, layers: {name: circulant, block: 8}", "a slice of 0.5 of a model"),
    ],
)
def test_what_changes_the_net_of_all_must_stand_in_the_task(plan, model, told):
    if told:
        assert told in mistakes(plan, model)
    else:
        assert scenario(plan, model).clients


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("{techniques: [{name: static-int8, keep: [head]}]}", "got 'head', which no layer of static-quantization"),
        ("{techniques: [early-exit]}", "got a Sequential without several exits"),
        ("{structure: {name: depth, blocks: 1}}", "whose blocks have no exits"),
        ("{structure: {name: channels, share: 0.001}}", "leaves layer"),
    ],
)
def test_a_part_that_does_not_apply_is_refused_where_the_file_is_read(plan, told):
    found = mistakes(plan)
    assert "clients.0.plan: " in found
    assert told in found


def test_a_delivery_that_does_not_apply_to_own_code_is_refused_before_anything_is_trained(tmp_path):
    plan = scenario("{techniques: [early-exit]}", data=f"{__name__}:rows")
    with pytest.raises(FedliteError, match=r"got a Sequential without several exits"):
        run(plan, out=tmp_path / "run", settings=Settings("local"))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("{name: magnitude, sparsity: 0.99999, scope: local}", "none of the"),
        ("{name: magnitude, sparsity: 0.99999}", "weights to the layers"),
        ("{name: progressive, sparsity: 0.99999, rounds: 2, scope: local}", "none of the"),
    ],
)
def test_masks_that_leave_a_layer_nothing_are_refused_where_the_file_is_read(part, said):
    found = mistakes(f"{{constraints: [{part}]}}")
    assert "clients.0.plan: got 0.99999, which leaves" in found
    assert said in found
    assert "1.weight" in found
    scenario(f"{{constraints: [{part.replace('0.99999', '0.98')}]}}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return run(scenario("{techniques: [static-int8]}"), out=out, settings=Settings("local"))


def test_what_is_shipped_is_tested_and_in_the_summary(finished):
    integers, half = sorted(finished.summary["delivered"], key=lambda one: one["plan"])
    assert (integers["plan"], integers["profiles"]) == ("static int8", ["pixel-8"])
    assert (half["plan"], half["profiles"]) == ("width 0.5", ["pi-4b"])
    whole = finished.summary["metrics"]
    assert abs(integers["metrics"]["accuracy"] - whole["accuracy"]) < 0.05
    assert integers["metrics"]["loss"] != whole["loss"]
    assert half["metrics"]["accuracy"] != whole["accuracy"]
    assert integers["facts"] == {"int8_layers": 2}


def test_an_inference_of_what_each_class_is_shipped_is_priced(finished, tmp_path):
    told = {one["profile"]: one for one in finished.summary["inference"]}
    assert {name: one["plan"] for name, one in told.items()} == {
        "pixel-8": "static int8",
        "pi-4b": "width 0.5",
        "galaxy-a52": "full",
    }
    techniques = {"pixel-8": ["static-int8"], "pi-4b": ["width-slicing"], "galaxy-a52": []}
    asked = [(name, [(one, {}) for one in names]) for name, names in techniques.items()]
    offered = deploy(Deployment(finished.path, asked, Use(), float("inf"), tmp_path))
    for one in offered["classes"]:
        (same,) = [made for made in one["artefacts"] if made["artefact"] == one["profile"]]
        keys = ("latency_ms", "energy_mj", "peak_memory_bytes")
        assert {key: told[one["profile"]][key] for key in keys} == {key: same[key] for key in keys}
    sizes = {one["artefact"]: one["stored_bytes"] for one in offered["artefacts"]}
    assert sizes == {name: one["stored_bytes"] for name, one in told.items()}


def test_the_page_tells_what_an_inference_takes_and_where_there_is_none(finished):
    rows = str(inference(finished.summary))
    for one in finished.summary["inference"]:
        assert one["profile"] in rows
        assert f"{quantity(1e-3 * one['latency_ms']['value'], 'time')} (" in rows
        assert f"{quantity(1e-3 * one['energy_mj']['value'], 'energy')} (" in rows
        assert quantity(one["stored_bytes"], "bytes") in rows
    refused = {"profile": "board", "plan": "static int8", "why": "it computes no integers"}
    assert "it computes no integers" in str(inference({"inference": [refused]}))
    assert inference({}) is None


def test_a_class_that_cannot_run_what_it_is_shipped_says_so(tmp_path, monkeypatch):
    def refuses(self, profile):
        raise FedliteError(f"{profile.name}: no kernels")

    monkeypatch.setattr(Packed, "inference_on", refuses)
    done = run(scenario("{techniques: [static-int8]}"), out=tmp_path / "run", settings=Settings("local"))
    assert {one["why"] for one in done.summary["inference"]} == {
        "pixel-8: no kernels",
        "pi-4b: no kernels",
        "galaxy-a52: no kernels",
    }
    assert "pi-4b: no kernels" in (done.path / "report.html").read_text()


def test_report_and_terminal_tell_it(finished):
    data = read_run(finished.path)
    page = json.dumps([str(block) for section in run_page(data).sections for block in section.blocks])
    assert "What is shipped under each plan, tested" in page
    from rich.console import Console

    with (console := Console(width=140)).capture() as seen:
        console.print(summary_table(finished.path))
    assert "Shipped under static int8: " in seen.get()


def test_a_run_that_ships_what_it_trained_says_nothing(tmp_path):
    text = SCENARIO.replace("MODEL", "mlp").replace("DATA", "digits")
    plain = parse_scenario(text[: text.index("clients:\n")])
    assert run(plain, out=tmp_path / "run", settings=Settings("local")).summary["delivered"] == []


def test_what_the_trained_model_turns_out_not_to_allow_costs_nobody_the_run(tmp_path, monkeypatch):
    def refused(*_):
        raise PartError("share: got 0.5, which leaves layer '2' none of its channels; write a larger share")

    monkeypatch.setattr(delivered, "ship", refused)
    done = run(scenario("{techniques: [static-int8]}"), out=tmp_path / "run", settings=Settings("local"))
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert all("leaves layer '2' none" in one["why"] for one in done.summary["delivered"])
    found = read_run(tmp_path / "run")
    page = json.dumps([str(block) for section in run_page(found).sections for block in section.blocks])
    assert "What could not be made of the model" in page
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(done.path))
    assert "Nothing can be shipped under static int8" in console.export_text()


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_trained_for_few_bits_are_stored_as_they_were_seen(bits):
    weight = stream(1, "weight").normal(size=(13, 7)).astype(np.float32)
    codec = FakeQuant(bits).effects.stored
    stored = wire.decode(wire.encode([weight], codec), like=[weight])[0]
    np.testing.assert_array_equal(stored, fake_quantize(torch.from_numpy(weight), bits).numpy())


SEVERAL = """
name: several
fleet:
  devices: 8
  mix: {pixel-8: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp}
training: {rounds: 1, clients_per_round: 4, local: {lr: 0.1}}
clients:
"""
HALF = "{width: 0.5}"
QUARTER = "{width: 0.25}"


def several(tmp_path, rules):
    done = run(parse_scenario(SEVERAL + rules), out=tmp_path / "run", settings=Settings("local"))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(done.path))
    return done, (done.path / "report.html").read_text(), console.export_text()


def test_a_class_that_is_left_out_is_shipped_nothing(tmp_path):
    rules = f"""
  - for: {{profile: pixel-8}}
    plan: auto
    limits: {{stored: 1 B}}
    among: {{quarter: {QUARTER}, half: {HALF}}}
"""
    done, page, shown = several(tmp_path, rules)
    assert [one["profile"] for one in done.summary["excluded"]] == ["pixel-8"]
    assert done.summary["delivered"] == []
    assert [one["profile"] for one in done.summary["inference"]] == ["pi-4b"]
    assert "What is shipped under each plan" not in page
    assert "Shipped under" not in shown
    (last,) = done.fleet.filter(profile="pixel-8")["plan"]
    assert f"none, left out ({last})" in page


def test_what_caught_all_jobs_of_a_class_is_what_it_is_shipped(tmp_path):
    rules = f"""
  - for: {{profile: pixel-8}}
    when: {{charge_below: 100 %}}
    plan: {QUARTER}
  - for: {{profile: pixel-8}}
    plan: {HALF}
"""
    done, page, shown = several(tmp_path, rules)
    assert set(done.clients.filter(profile="pixel-8")["plan"]) == {"width 0.25"}
    (told,) = done.summary["delivered"]
    assert (told["plan"], told["profiles"], told["by_most_jobs"]) == ("width 0.25", ["pixel-8"], ["pixel-8"])
    assert "Shipped under width 0.25 (the plan of most of the jobs of pixel-8): " in shown
    assert "pixel-8 (the plan of most of its jobs)" in page


def test_the_plan_of_most_jobs_ships_and_of_equals_the_first_written():
    first, second, one = Plan("first"), Plan("second"), types.SimpleNamespace(excluded="", plan=Plan("judged"))
    one.profile = types.SimpleNamespace(name="pixel-8")

    def shipped(*plans, kind="train", profile="pixel-8"):
        n = len(plans)
        ledger = {"plan": np.array(plans, str), "kind": np.array([kind] * n), "profile": np.array([profile] * n)}
        return delivered.plan_shipped([first, second], one, ledger).name

    assert shipped("first", "second", "second") == "second"
    assert shipped("second", "first") == "first"
    assert shipped() == shipped("second", kind="evaluate") == shipped("second", profile="pi-4b") == "judged"


def test_bytes_of_a_submodel_are_compared_with_the_full_model_in_float32(tmp_path):
    rules = "  - for: {profile: pixel-8}\n    plan: {width: 0.5, up: fp16, down: fp32}\n"
    done, page, _ = several(tmp_path, rules)
    learning = prepare(parse_scenario(SEVERAL + rules))
    full_bytes = 4 * sum(array.size for array in learning.arrays)
    assert json.loads((done.path / "manifest.json").read_text())["model_values"] == full_bytes // 4
    mine = done.clients.filter(profile="pixel-8", outcome="arrived")
    own_bytes, raw_bytes = mine["up_bytes"][0], mine["up_raw_bytes"][0]
    assert 0.45 < own_bytes / raw_bytes < 0.55
    assert own_bytes / full_bytes < 0.3
    assert f"bytes against the {quantity(full_bytes, 'bytes')} of the full model in float32" in page
    assert f"{percent(own_bytes / full_bytes)} ({quantity(own_bytes, 'bytes')})" in page
    assert f"{percent(own_bytes / raw_bytes)} (" not in page
