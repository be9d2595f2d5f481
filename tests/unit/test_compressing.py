"""Plans side by side: bytes are those of encoded packets, and nothing is claimed that is not saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fedlite import wire
from fedlite.cli.inputs import USUAL, parse_shape, shape_and_classes
from fedlite.compose.compressing import USUAL_PLANS, Target, compare_plans
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.errors import FedliteError
from fedlite.learning.models import MODELS, build
from fedlite.scenario.profiles import load_profile

TARGET = Target("lenet5", (1, 28, 28), 10)


@pytest.fixture(scope="module")
def rows():
    return {row.plan.name: row for row in compare_plans(load_profile("pixel-4"), TARGET, USUAL_PLANS)}


def test_the_full_model_weighs_its_parameters_and_a_small_head(rows):
    full = rows["full"]
    assert full.parameters == 61706
    for size in (full.stored_bytes, full.down_bytes, full.up_bytes):
        assert 4 * full.parameters < size < 4 * full.parameters + 200
    assert full.remarks == ()


def test_the_downlink_is_the_packet_of_the_model(rows):
    arrays = [
        value.numpy()
        for value in build("lenet5", input_shape=(1, 28, 28), num_classes=10, seed=1).state_dict().values()
    ]
    assert rows["8 bits"].down_bytes == len(wire.encode(arrays, ("fp16",)))


def test_only_removed_channels_save_parameters_time_and_memory(rows):
    full = rows["full"]
    for name in ("int8 wire", "top 10 % up", "90 % sparse", "8 bits"):
        assert rows[name].parameters == full.parameters
        assert rows[name].step_s.value >= full.step_s.value
        assert rows[name].peak_bytes.value >= full.peak_bytes.value
    assert rows["width 0.5"].parameters < full.parameters / 3
    assert rows["width 0.5"].step_s.value < full.step_s.value
    assert rows["width 0.5"].peak_bytes.value < full.peak_bytes.value


def test_masks_and_bits_cost_training_time_and_the_remarks_say_so(rows):
    assert rows["90 % sparse"].step_s.value > rows["full"].step_s.value
    assert rows["8 bits"].step_s.value > 1.5 * rows["full"].step_s.value
    assert "makes nothing faster" in rows["90 % sparse"].remarks[0]
    assert "slower, not faster" in rows["8 bits"].remarks[0]
    assert "training step only" in rows["width 0.5"].remarks[0]
    assert rows["int8 wire"].remarks == ("saves bytes on the way, nothing else",)


def test_stored_bytes_follow_mask_and_bits(rows):
    full = rows["full"].stored_bytes
    # Biases and norms stay float32.
    assert rows["8 bits"].stored_bytes == pytest.approx(full / 4, rel=0.02)
    # Engines store zeros like other numbers.
    assert rows["90 % sparse"].stored_bytes == full
    (bits4,) = compare_plans(load_profile("pixel-4"), TARGET, [Plan("4", constraints=(FakeQuant(4),))])
    assert bits4.stored_bytes == pytest.approx(full / 8, rel=0.04)


def test_neither_weights_of_eight_bits_nor_a_mask_make_inference_another_one(rows):
    # Activations were not rounded in training: an int8 engine would compute something else.
    assert rows["8 bits"].precision == "fp32"
    assert rows["8 bits"].inference_s == rows["full"].inference_s
    assert rows["90 % sparse"].inference_s == rows["full"].inference_s
    (bits4,) = compare_plans(load_profile("pixel-4"), TARGET, [Plan("4", constraints=(FakeQuant(4),))])
    assert bits4.precision == "fp32"
    assert "no 4-bit kernels" in bits4.remarks[0]


def test_every_prediction_has_a_band_around_it(rows):
    for row in rows.values():
        for quantity in (row.inference_s, row.step_s, row.peak_bytes):
            assert quantity.low < quantity.value < quantity.high


def test_a_model_that_is_too_large_for_a_device_is_marked():
    (row,) = compare_plans(load_profile("nucleo-h7a3zi"), Target("resnet8", (3, 32, 32), 10), [Plan()])
    assert not row.fits
    assert "does not fit: a job may take" in row.remarks[-1]


@pytest.mark.parametrize("plan", [Plan(), Plan("w", Width(0.5), up=("topk:0.1", "int8", "zstd"))])
def test_models_of_symbols_and_with_batch_norm_can_be_compared(plan):
    for target in (Target("char-lstm", (20,), 80), Target("resnet8", (3, 32, 32), 10)):
        (row,) = compare_plans(load_profile("pixel-4"), target, [plan])
        assert row.up_bytes > 0


def test_an_autoencoder_learns_its_input_whatever_the_classes_are():
    (row,) = compare_plans(load_profile("pixel-4"), Target("autoencoder", (8,), 100), [Plan()])
    assert row.up_bytes > 0


def test_every_model_has_a_usual_input_and_can_be_told_another():
    assert set(USUAL) == set(MODELS)
    assert shape_and_classes("lenet5", None, None) == ((1, 28, 28), 10)
    assert shape_and_classes("lenet5", "3x32x32", 100) == ((3, 32, 32), 100)
    with pytest.raises(FedliteError, match=r"--input: got nothing for 'my.net:make'"):
        shape_and_classes("my.net:make", None, 10)
    for text in ("3x", "0x3", "axb", ""):
        with pytest.raises(FedliteError, match="expected positive sizes"):
            parse_shape(text)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "fedlite.cli.main", "compress", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_the_command_sets_the_asked_plan_beside_the_full_model():
    done = command("lenet5", "--device", "pixel-4", "--width", "0.5", "--up", "int8+zstd", "--json")
    assert done.returncode == 0, done.stderr
    full, asked = json.loads(done.stdout)["plans"]
    assert (full["name"], asked["name"]) == ("full", "width 0.5, int8+zstd up")
    assert asked["up_bytes"] < asked["down_bytes"] / 3 < full["down_bytes"] / 3
    assert asked["training_step_s"]["low"] < asked["training_step_s"]["value"] < asked["training_step_s"]["high"]


def test_the_command_prints_a_table_with_remarks():
    done = command("lenet5", "--device", "pixel-4", "--sparsity", "0.9", "--up", "nonzero+fp16")
    assert done.returncode == 0, done.stderr
    assert "61,706" in done.stdout
    assert "the mask makes nothing faster" in done.stdout
