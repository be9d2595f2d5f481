"""`fedlite devices predict` and `calibrate` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.devices_model import register
from fedlite.devices.measurements import read
from fedlite.scenario.profiles import load_profile

COLLECTION = Path(__file__).parents[2] / "benchmarks" / "device_model" / "data" / "device_measurements.csv"
APP = typer.Typer()
register(APP)


def run(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def predicted(*arguments):
    result = run("predict", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_quantity_has_a_value_inside_its_band():
    document = predicted("--device", "pi-4b", "--model", "resnet8", "--classes", 10)
    for key in ("latency_ms", "energy_mj", "peak_memory_bytes"):
        assert 0 < document[key]["low"] < document[key]["value"] < document[key]["high"]


def test_training_costs_more_time_energy_and_memory_than_inference():
    common = ("--device", "pi-4b", "--model", "cnn", "--classes", 10, "--batch", 8)
    inference, training = predicted(*common), predicted(*common, "--mode", "training")
    for key in ("latency_ms", "energy_mj", "peak_memory_bytes"):
        assert training[key]["value"] > inference[key]["value"]


@pytest.mark.parametrize(
    ("model", "published"),
    [("resnet18", "resnet18"), ("resnet50", "resnet50"), ("mobilenet-v2", "mobilenet_v2")],
)
def test_traced_torch_models_are_near_the_published_pi_4_latency(model, published):
    """ncnn benchmark README, Raspberry Pi 4B, 4 threads; the profile is anchored on MobileNetV1 alone."""
    (measured,) = [
        row.value
        for row in read(COLLECTION)
        if (row.device, row.family, row.threads, row.model) == ("Raspberry Pi 4B", "ncnn-fp32", "4", published)
    ]
    band = predicted("--device", "pi-4b", "--model", model)["latency_ms"]
    # An 80 % band: one in five may lie outside, none far outside. Torch's ResNet-50 (v1.5) strides in its 3x3 layers.
    assert 0.85 * band["low"] <= 1e3 * measured <= 1.15 * band["high"]


def test_float_networks_in_half_precision_say_so():
    for device, computed in (("galaxy-a52", "fp16"), ("pi-4b", "fp32"), ("iphone-14", "fp32")):
        assert predicted("--device", device, "--model", "cnn")["arithmetic"] == computed
    text = run("predict", "--device", "galaxy-a52", "--model", "cnn").stdout
    assert "fp32 in half-precision arithmetic" in text
    training = predicted("--device", "galaxy-a52", "--model", "cnn", "--mode", "training")
    assert (training["precision"], training["arithmetic"]) == ("fp32", "fp32")


def test_networks_unknown_to_the_fit_carry_a_wider_band():
    known = predicted("--device", "pi-4b", "--model", "resnet18")["latency_ms"]
    unknown = predicted("--device", "pi-4b", "--model", "resnet18", "--width", 0.5)["latency_ms"]
    assert unknown["high"] / unknown["low"] > known["high"] / known["low"]


def test_a_model_too_large_for_the_device_is_told():
    result = run("predict", "--device", "nucleo-l4r5zi", "--model", "mobilenet-v2", "--mode", "training")
    assert "does not fit" in result.output


def test_unknown_shapes_and_names_are_refused_with_the_choices():
    assert "3x224x224" in str(run("predict", "--device", "pi-4b", "--model", "cnn", "--input", "3,32").exception)
    assert "inference, training" in str(run("predict", "--device", "pi-4b", "--model", "cnn", "--mode", "x").exception)


def test_calibrate_writes_a_profile_that_loads_and_predicts_the_anchor(tmp_path):
    out = tmp_path / "my-pi.yaml"
    result = run("calibrate", "--device", "pi-4b", "--anchor", "mobilenet,63.0", "--anchor", "resnet18,120",
                 "--out", out, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    profile = load_profile(out)
    mine = [anchor for anchor in profile.anchors if (anchor.precision, anchor.threads) == ("fp32", 4)]
    assert [(anchor.model, anchor.latency_s.value) for anchor in mine] == [("mobilenet", 0.063), ("resnet18", 0.12)]
    assert json.loads(result.stdout)["calibration"] == "two-anchors"
    assert 0.2 < json.loads(result.stdout)["speed"] < 1.0


def test_calibrate_does_not_overwrite_without_being_told(tmp_path):
    out = tmp_path / "mine.yaml"
    out.write_text("precious")
    result = run("calibrate", "--device", "pi-4b", "--anchor", "mobilenet,63.0", "--out", out)
    assert "--force" in str(result.exception)
    assert out.read_text() == "precious"


@pytest.mark.parametrize("anchor", ["mobilenet", "mobilenet,fast", "mobilenet,-1", "nonet,5"])
def test_wrong_anchors_are_refused(tmp_path, anchor):
    assert run("calibrate", "--device", "pi-4b", "--anchor", anchor, "--out", tmp_path / "x.yaml").exception
    assert not (tmp_path / "x.yaml").exists()


def test_calibrate_takes_a_model_of_the_zoo_and_its_anchor_is_met(tmp_path):
    out = tmp_path / "mine.yaml"
    result = run("calibrate", "--device", "pixel-8", "--anchor", "resnet8,0.5", "--input", "3x32x32", "--classes", 10,
                 "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    latency = predicted("--device", out, "--model", "resnet8", "--classes", 10)["latency_ms"]
    assert latency["value"] == pytest.approx(0.5, rel=0.1)


def test_calibrate_writes_the_terms_of_a_network_that_nobody_published(tmp_path):
    out = tmp_path / "mine.yaml"
    result = run("calibrate", "--device", "pixel-8", "--anchor", "cnn,0.9", "--input", "1x28x28", "--classes", 10,
                 "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    (mine,) = [anchor for anchor in load_profile(out).anchors if anchor.model == "cnn"]
    assert len(mine.terms) == 9
    assert sum(mine.terms) > 0


def test_one_network_is_one_anchor(tmp_path):
    twice = ("calibrate", "--device", "pi-4b", "--anchor", "mobilenet,58.2", "--anchor", "mobilenet,90")
    assert "expected each network once" in str(run(*twice, "--out", tmp_path / "mine.yaml").exception)


def test_an_anchor_ten_times_off_its_spec_sheet_is_refused_unless_forced(tmp_path):
    out = tmp_path / "mine.yaml"
    wrong = ("calibrate", "--device", "pixel-8", "--anchor", "mobilenet,500", "--out", out)
    assert "10 times off" in str(run(*wrong).exception)
    assert not out.exists()
    assert run(*wrong, "--force").exit_code == 0


def test_anchors_of_another_engine_are_not_mixed_with_the_profiles_own(tmp_path):
    common = ("calibrate", "--device", "pixel-8", "--anchor", "mobilenet,8", "--out", tmp_path / "mine.yaml")
    assert "engines" in str(run(*common, "--engine", "tflite 2024").exception)
    assert "expected an engine" in str(run(*common, "--engine", "abacus").exception)
    assert run(*common, "--engine", "ncnn 2023").exit_code == 0


def test_a_job_fits_only_if_the_upper_end_of_its_memory_does():
    document = predicted("--device", "meizu-16t", "--model", "mobilenet-v2", "--mode", "training", "--batch", 4)
    peak, budget = document["peak_memory_bytes"], document["memory_budget_bytes"]
    assert peak["value"] < budget < peak["high"] or peak["value"] > budget
    assert document["fits"] is False
