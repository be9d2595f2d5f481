"""The bench on a few real rows: before and after are trained alike, and every byte is one of a buffer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedlite import wire
from fedlite.cli.compress_technique import _fact
from fedlite.cli.main import app
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import quantities
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compose.toolbox import Asked, compare
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.subnet import Supernet
from fedlite.compression.structure.width import Width
from fedlite.delivery.ask_server import AskServer
from fedlite.delivery.base import Artefact
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.devices.compute import inference_s
from fedlite.devices.server import Prices
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import TECHNIQUES, technique
from fedlite.techniques.technique import Recipe

SMALL = Effort(rows=400, epochs=2, rounds=2)
TASK = bench_task("digits", ("cnn",), SMALL)
BENCH = Bench("cnn", TASK, SMALL)
BOARD = load_profile("pi-4b")
KEYS = {
    "params", "macs", "stored_bytes", "up_bytes", "down_bytes", "accuracy", "macro_f1", "latency_ms",
    "training_step_ms", "energy_mj", "peak_memory_bytes", "inference_memory_bytes",
}  # fmt: skip


def told(*plans):
    return quantities(BENCH.run([Recipe(plan) for plan in plans]), BOARD, SMALL.batch)


@pytest.fixture(scope="module")
def full():
    return told(Plan())


def test_rows_are_few_apart_and_dealt_to_everybody():
    held, train = set(TASK.held.tolist()), set(TASK.train.tolist())
    assert len(TASK.data.y_train) == 400
    assert len(TASK.data.y_test) == 200
    assert not held & train
    assert len(held) == 40
    assert sorted(np.concatenate(TASK.shares).tolist()) == sorted(train)


def test_images_are_enlarged_only_for_nets_that_need_it():
    larger = bench_task("digits", ("cnn", "resnet18"), SMALL)
    assert (larger.enlarged, larger.data.input_shape) == (4, (1, 32, 32))
    assert np.array_equal(larger.data.x_train[:, :, ::4, ::4], TASK.data.x_train)
    assert TASK.enlarged == 1


def test_no_technique_changes_nothing(full):
    assert told(Plan("another name")) == full
    assert set(full) >= KEYS
    assert full["stored_bytes"] == full["up_bytes"] == full["down_bytes"]
    assert 4 * full["params"] < full["stored_bytes"] < 4 * full["params"] + 100
    assert full["accuracy"] > 0.5


def test_integers_are_a_quarter_of_the_file_and_cost_training_nothing(full):
    found = told(Plan(deliveries=(StaticQuantization(rows=16),)))
    assert found["stored_bytes"] < 0.28 * full["stored_bytes"]
    for same in ("params", "macs", "up_bytes", "down_bytes", "training_step_ms", "peak_memory_bytes"):
        assert found[same] == full[same]
    assert found["latency_ms"]["value"] < full["latency_ms"]["value"]
    assert found["inference_memory_bytes"]["value"] == full["inference_memory_bytes"]["value"] / 4
    assert abs(found["accuracy"] - full["accuracy"]) < 0.05


def test_removed_channels_are_smaller_everywhere(full):
    found = told(Plan(structure=Width(0.5)))
    for less in ("params", "macs", "stored_bytes", "up_bytes", "down_bytes"):
        assert found[less] < 0.4 * full[less]
    for less in ("latency_ms", "training_step_ms", "energy_mj", "peak_memory_bytes"):
        assert found[less]["value"] < full[less]["value"]


def test_masks_save_on_the_wire_alone(full):
    found = told(Plan(constraints=(Magnitude(0.9),), up=("nonzero",), down=("nonzero",)))
    assert found["up_bytes"] < 0.2 * full["up_bytes"]
    assert found["down_bytes"] < 1.1 * full["down_bytes"]
    for same in ("params", "macs", "stored_bytes", "latency_ms", "energy_mj"):
        assert found[same] == full[same]
    assert found["training_step_ms"]["value"] > full["training_step_ms"]["value"]


def test_what_is_shipped_meets_the_constraints():
    outcome = BENCH.run([Recipe(Plan(constraints=(Magnitude(0.9),)))])
    kernels = [one for one in outcome.shipped.artefact.read(outcome.shipped.file) if one.ndim > 1]
    assert np.mean([np.mean(one == 0) for one in [np.concatenate([k.ravel() for k in kernels])]]) == pytest.approx(
        0.9, abs=0.001
    )


def test_the_file_is_a_packet_of_the_executed_net():
    outcome = BENCH.run([Recipe(Plan(deliveries=(StaticQuantization(rows=16),)))])
    kinds = {str(array.dtype) for array in wire.decode(outcome.shipped.file, most_elements=10**6)}
    assert kinds == {"int8", "float32"}


def test_rounds_are_dealt_among_the_techniques_in_their_order(full):
    first = told(Plan(constraints=(Magnitude(0.9),)), Plan(constraints=(Magnitude(0.9),), structure=Width(0.5)))
    assert first["params"] < full["params"]
    assert first != told(Plan(structure=Width(0.5)), Plan(constraints=(Magnitude(0.9),), structure=Width(0.5)))


def test_more_techniques_than_rounds_are_refused():
    techniques = [("half-precision", {}), ("few-bits", {}), ("static-int8", {})]
    with pytest.raises(PartError, match=r"rounds: got 2 for 3 techniques.* write --rounds 3 or more"):
        compare(Asked("cnn", "digits", BOARD, techniques, SMALL))


def test_a_client_remembers_for_each_net_that_it_trains():
    """A residual of one shape is not added to an update of another."""
    axes = (("blocks", (1, 2)), ("channels", (8, 16)))
    plan = Plan("drawn", Supernet(axes), stages=(ErrorFeedback(),), up=("topk:0.1",))
    before = len(BENCH.work)
    BENCH.train(Recipe(plan, model="elastic", options=(("blocks", 2), ("channels", 16))), 4)
    assert len({done.plan.structure for done in BENCH.work[before:]}) > 2


def test_every_exit_learns_where_a_net_gives_all():
    recipe = technique("depthfl").made({"blocks": 2})
    found = quantities(Bench("cnn-exits", TASK, SMALL).run([recipe]), BOARD, SMALL.batch)
    whole = quantities(Bench("cnn-exits", TASK, SMALL).run([Recipe(options=recipe.options)]), BOARD, SMALL.batch)
    assert {"first_accuracy", "last_accuracy"} <= set(found)
    bench = Bench("cnn-exits", TASK, SMALL)
    for options in ((), recipe.options):
        trained = bench.train(Recipe(options=options))
        begun = trained.spec.build().state_dict()
        moved = [
            name
            for (name, first), last in zip(begun.items(), trained.arrays, strict=True)
            if name.startswith("heads.") and not np.array_equal(first.numpy(), last)
        ]
        assert len(moved) == (6 if options else 2)
    assert found["stored_bytes"] < 0.5 * whole["stored_bytes"]
    assert found["training_step_ms"]["value"] < whole["training_step_ms"]["value"]


def test_the_same_seed_gives_the_same_numbers():
    asked = Asked("cnn", "digits", BOARD, [("static-int8", {"rows": "16"})], SMALL)
    assert compare(asked) == compare(asked)


def test_calibration_rows_are_charged():
    asked = [
        Asked("cnn", "digits", BOARD, [("static-int8", {"rows": "16", "calibration": c})], SMALL)
        for c in ("client", "none")
    ]
    with_rows, without = (compare(one)["cost"] for one in asked)
    assert (with_rows["forward_samples"], without["forward_samples"]) == (16, 0)
    # Both have the rounds; the server has nothing to do that it would not have to without a technique.
    assert list(without["parts"]) == ["rounds"]
    one = inference_s(BOARD, trace(Bench("cnn", TASK, SMALL).spec(Recipe()).build(), TASK.data.input_shape, name="cnn"))
    assert 3600 * with_rows["parts"]["calibration"]["device_hours"]["value"] == pytest.approx(16 * float(one.value))
    assert without["device_j"]["value"] == pytest.approx(with_rows["parts"]["rounds"]["device_j"]["value"])
    assert without["server_hours"]["value"] == 0


def test_the_cost_of_a_search_is_that_of_what_it_tried_and_what_it_chose_is_not_paid_twice():
    def cost(*techniques, rounds=1):
        return compare(Asked("cnn", "digits", BOARD, techniques, Effort(rows=100, epochs=1, rounds=rounds)))["cost"]

    alone = cost(("width-slicing", {"share": 0.5}))
    found = cost(("auto", {"candidates": "none width-slicing:share=0.5", "stored_bytes": 100_000}))
    assert found["recipes_tried"] == 2
    assert list(found["parts"]) == ["search"]
    plain = cost(("static-int8", {"calibration": "none"}))
    both = alone["device_j"]["value"] + plain["device_j"]["value"]
    assert found["device_j"]["value"] == pytest.approx(both)
    assert 0 < found["device_j"]["low"] < found["device_j"]["value"] < found["device_j"]["high"]
    # What comes after a search is made once more.
    more = cost(("auto", {"candidates": "none"}), ("static-int8", {"calibration": "none"}), rounds=2)
    assert set(more["parts"]) == {"search", "rounds"}
    plain = cost(("static-int8", {"calibration": "none"}), rounds=2)
    assert more["device_j"]["value"] == pytest.approx(2 * plain["device_j"]["value"])


def test_another_net_and_its_teacher_are_trained_by_a_server_which_is_paid_by_the_hour():
    small, prices = Effort(rows=200, epochs=2, rounds=1), Prices(server_hour=3.0, kwh=0.5)
    options = {"student": "mlp", "teacher": "cnn", "width": 1.0}
    cost = compare(Asked("mlp", "digits", BOARD, [("distillation", options)], small, prices))["cost"]
    task = bench_task("digits", ("cnn",), small)
    shape = task.data.input_shape
    student, teacher = (trace(spec_of(net, shape, 10, 1).build(), shape, name=net).macs for net in ("mlp", "cnn"))
    # Each is trained, at three passes a sample, and the teacher is asked of each sample that the student sees.
    passes = 2 * len(task.train) * (3 * student + 3 * teacher + teacher)
    seconds = passes / (0.4 * 8.1e12 / 2)
    assert cost["server_hours"]["value"] == pytest.approx(seconds / 3600)
    assert cost["server_j"]["value"] == pytest.approx(70.0 * seconds)
    paid = 3.0 * seconds / 3600 + 0.5 * cost["device_j"]["value"] / 3.6e6
    assert cost["money"]["value"] == pytest.approx(paid)
    assert (cost["prices"]["server_hour"], cost["prices"]["kwh"]) == (3.0, 0.5)
    assert set(cost["parts"]) == {"server training", "rounds"}


def test_what_does_not_apply_is_said_by_layer():
    asked = Asked("squeezenet1.1", "digits", BOARD, [("dynamic-int8", {})], Effort(rows=100, epochs=1, rounds=1))
    with pytest.raises(FedliteError, match=r"got a net without linear or recurrent layers.*\(Conv2d\)"):
        compare(asked)


def test_the_command_prints_both_columns_and_one_json_object(capsys):
    few = ["--rows", "300", "--epochs", "1", "--rounds", "1"]
    found = CliRunner().invoke(
        app, ["compress", "mlp", "--technique", "weight-only", "--set", "bits=2", *few, "--json"]
    )
    assert found.exit_code == 0, found.output
    printed = json.loads(found.output)
    assert set(printed["before"]) == set(printed["after"]) >= KEYS
    assert printed["plan"] == "int2 weights"
    shown = CliRunner().invoke(app, ["compress", "mlp", "--technique", "weight-only", *few])
    assert "energy of an inference" in shown.output
    assert "Int4 weights are unpacked to float32 before use" in shown.output


def test_the_list_tells_all_briefly_and_what_is_named_whole():
    every = CliRunner().invoke(app, ["compress", "--list"]).output
    assert all(name in every for name in TECHNIQUES)
    assert "distillation *" in every
    assert "calibration=client" not in every
    one = CliRunner().invoke(app, ["compress", "--list", "--technique", "static-int8"]).output
    assert "options   calibration=client, rows=64" in one
    assert "fedlite compress cnn --technique static-int8 --device pi-4b --dataset digits" in one
    assert "top-k" not in one
    told = json.loads(CliRunner().invoke(app, ["compress", "--list", "--technique", "auto", "--json"]).output)
    assert [(one["technique"], one["in_plans"]) for one in told] == [("auto", False)]
    assert "technique: got 'x', expected one of" in str(
        CliRunner().invoke(app, ["compress", "--list", "--technique", "x"]).exception
    )


def test_what_is_tested_is_what_a_device_reads_from_the_file(monkeypatch):
    monkeypatch.setattr(Artefact, "read", lambda self, _: [np.zeros_like(one) for one in self.state()])
    assert BENCH.run([Recipe()]).metrics["accuracy"] < 0.2  # zeros say one class for all


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["--technique", "static-int8", "--width", "0.5"], "--width: got a value beside --technique"),
        (["--set", "share=0.5"], "--set: got a value without --technique"),
        (["--orders"], "--orders: got a value without --technique"),
        (["--technique", "static-int8", "--server-hour", "nan"], "--server-hour: got nan, expected a price"),
    ],
)
def test_options_that_would_do_nothing_are_refused(written, told):
    assert told in str(CliRunner().invoke(app, ["compress", "mlp", *written]).exception)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["--technique", "depthfl"], "or name a net that has it: cnn-exits, resnet8-exits"),
        (["--technique", "static-int8", "--set", "keep=zzz"], "static-int8: keep: got 'zzz'"),
        (["--technique", "top-k", "--set", "numbers=int3"], "top-k: codec: got the stage 'int3'"),
        (["--technique", "clustering", "--set", "clusters=0"], "clustering.clusters: got 0, expected 2 to 256; write"),
    ],
)
def test_whose_mistake_it_is_is_said(written, told):
    few = ["--rows", "100", "--epochs", "1", "--rounds", "1"]
    assert told in str(CliRunner().invoke(app, ["compress", "mlp", *written, *few]).exception)


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_orders_that_are_all_refused_are_a_failure(json_):
    both = ["--technique", "dynamic-int8", "--technique", "static-int8", "--orders"]
    found = CliRunner().invoke(
        app, ["compress", "mlp", *both, "--rows", "100", "--epochs", "1", "--rounds", "2", *json_]
    )
    assert found.exit_code == 2
    assert "without linear or" in found.output


def test_what_methods_say_of_themselves_is_in_words():
    told = [{"candidate": "none", "accuracy": 0.98052, "over": {"stored_bytes": {"takes": 212345.6}}}, {"over": {}}]
    assert _fact(told) == "\n  candidate none, accuracy 0.9805, over stored bytes takes 212,346\n  "
    assert _fact([True, 3, 53002, 0.5]) == "yes, 3, 53,002, 0.5"


@pytest.mark.parametrize("name", ["qat-activations", "integer-training"])
def test_memory_of_an_inference_is_that_of_kernels_and_not_of_what_simulates_them(full, name):
    found = told(technique(name).made({}).plan)
    share = 4 if name == "qat-activations" else 1
    assert found["inference_memory_bytes"]["value"] == full["inference_memory_bytes"]["value"] / share


def test_a_model_on_a_server_takes_no_other_delivery():
    plans = [Plan(deliveries=(AskServer(),)), Plan(deliveries=(StaticQuantization(rows=16),))]
    with pytest.raises(PartError, match="no model lies on the device"):
        told(Plan(deliveries=(*plans[0].deliveries, *plans[1].deliveries)))


def test_names_that_a_search_does_not_know_are_told_with_its_own():
    with pytest.raises(PartError, match="bandit: technique: got 'nope', expected one of"):
        compare(Asked("cnn", "digits", load_profile("pi-4b"), [("bandit", {"arms": "nope"})], SMALL))


@pytest.mark.parametrize(
    ("model", "name", "options", "layer"),
    [
        ("cnn", "width-slicing", {"share": "0.001"}, "'0'"),
        ("cnn", "heterofl", {"share": "0.001"}, "'0'"),
        ("cnn", "fjord", {"shares": "0.001,1"}, "'0'"),
        ("cnn", "distillation", {"width": "0.001"}, "'0'"),
        ("cnn", "low-rank", {"share": "0.0001"}, "'7'"),
        ("cnn", "diverse-neurons", {"keep": "0.0001"}, "'7'"),
    ],
)
def test_a_ratio_that_empties_a_layer_is_refused_by_its_name(model, name, options, layer):
    with pytest.raises(PartError, match=rf"{name}.*leaves layer {layer} none of its \d+ .*; write 0\.\d+ or more"):
        compare(Asked(model, "digits", load_profile("pi-4b"), [(name, options)], SMALL))


def test_what_layers_of_the_whole_net_do_not_save_is_said():
    told_ = compare(Asked("mlp", "digits", load_profile("pi-4b"), [("fedpara", {})], SMALL))
    assert any("no faster" in one for one in told_["remarks"])
    assert told_["plan"].startswith("fedpara")
    student = compare(Asked("cnn", "digits", load_profile("pi-4b"), [("distillation", {"width": "0.25"})], SMALL))
    assert student["plan"] == f"a net of {student['after']['params']:,} parameters"


def test_a_remark_that_the_net_meets_is_not_made():
    told_ = compare(Asked("resnet8-exits", "digits", load_profile("pi-4b"), [("depthfl", {})], SMALL))["remarks"]
    assert not [one for one in told_ if "outputs: all" in one]


def test_what_a_device_has_no_memory_to_train_is_said():
    def remarks(device):
        return compare(Asked("cnn", "digits", load_profile(device), [("static-int8", {})], SMALL))["remarks"]

    assert not [one for one in remarks("pi-4b") if "cannot train this" in one]
    assert len([one for one in remarks("nucleo-g0b1re") if "cannot train this" in one]) == 2
