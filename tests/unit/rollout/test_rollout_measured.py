"""Variants out of runs and files: bytes that are really there, accuracy of what comes out of them, differences."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite import wire
from fedlite.compose.rollout_models import variants
from fedlite.devices.compute import inference_s
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout

SCENARIO = """
name: tiny
fleet: {devices: 8, mix: {pixel-8: 100 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digits, partition: iid, model: mlp}
training: {strategy: fedavg, rounds: 2, clients_per_round: 4, local: {epochs: 2, lr: 0.1}}
"""
PLAN = """
name: small
fleet: {{devices: 100, mix: {{galaxy-a52: 50 %, pi-4b: 50 %}}}}
model:
  variants:
{variants}
{more}
strategy: {{preset: play-staged}}
"""
PROFILES = [load_profile(name) for name in ("galaxy-a52", "pi-4b")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(parse_scenario(SCENARIO), out=tmp_path_factory.mktemp("run"), settings=Settings("local"))


def priced(*lines, more=""):
    text = PLAN.format(variants="\n".join(f"    - {line}" for line in lines), more=more)
    return {one.name: one for one in variants(parse_rollout(text).model, PROFILES)}


def test_a_runs_model_is_encoded_scored_and_priced(trained):
    (whole,) = priced(f"{{name: whole, run: {trained.path}}}").values()
    net = build("mlp", input_shape=(1, 8, 8), num_classes=10, width=1.0, seed=0)
    arrays = [value.detach().numpy() for value in net.state_dict().values()]
    assert whole.full_bytes == whole.download_bytes == len(wire.encode(arrays, ("fp32",)))
    assert whole.accuracy == pytest.approx([trained.summary["metrics"]["accuracy"]] * 2)
    work = trace(net, (1, 8, 8), name="mlp")
    assert whole.latency_s.tolist() == [float(inference_s(profile, work).value) for profile in PROFILES]
    assert (whole.peak_bytes > 4 * work.params).all()


def test_a_plan_makes_a_smaller_form_of_it(trained):
    told = priced(
        f"{{name: whole, run: {trained.path}}}",
        f"{{name: eight, run: {trained.path}, plan: {{bits: 8}}}}",
        f"{{name: half, run: {trained.path}, plan: {{width: 0.5}}}}",
        f"{{name: sparse, run: {trained.path}, plan: {{sparsity: 90 %}}}}",
        f"{{name: packed, run: {trained.path}, plan: {{sparsity: 90 %, deliveries: [entropy-coding]}}}}",
        f"{{name: integers, run: {trained.path}, plan: {{techniques: [static-int8]}}}}",
    )
    whole = told["whole"]
    assert told["eight"].full_bytes < 0.3 * whole.full_bytes
    assert told["half"].full_bytes < 0.6 * whole.full_bytes
    assert told["sparse"].full_bytes == whole.full_bytes
    assert told["packed"].full_bytes < 0.5 * whole.full_bytes
    assert told["packed"].accuracy[0] == told["sparse"].accuracy[0]
    assert told["integers"].full_bytes < 0.35 * whole.full_bytes
    assert (told["integers"].latency_s < whole.latency_s).all()
    assert (told["integers"].peak_bytes < 0.3 * whole.peak_bytes).all()
    assert (told["half"].latency_s < whole.latency_s).all()
    assert abs(told["eight"].accuracy[0] - whole.accuracy[0]) < 0.03
    assert told["sparse"].accuracy[0] < whole.accuracy[0]


def test_numbers_told_beside_a_run_take_their_place(trained):
    (told,) = priced(f"{{name: whole, run: {trained.path}, accuracy: 42 %, memory: 9 MB}}").values()
    assert told.accuracy.tolist() == [0.42, 0.42]
    assert told.peak_bytes.tolist() == [9e6, 9e6]


def test_differences_are_really_encoded(trained, tmp_path):
    rng = np.random.default_rng(1)
    old = rng.bytes(40_000)
    (tmp_path / "old.bin").write_bytes(old)
    (tmp_path / "near.bin").write_bytes(old[:20_000] + rng.bytes(1_000) + old[21_000:])
    (tmp_path / "far.bin").write_bytes(rng.bytes(40_000))
    rest = "memory: 1 MB, macs: 1e6, accuracy: 70 %"
    told = priced(
        *(f"{{name: {name}, artifact: {tmp_path}/{name}.bin, {rest}}}" for name in ("near", "far")),
        f"{{name: same, run: {trained.path}}}",
        more=f"  delta: {{from: {tmp_path}/old.bin}}",
    )
    assert 1_000 < told["near"].download_bytes < 1_200
    assert told["far"].download_bytes == told["far"].full_bytes == 40_000
    of_run = priced(f"{{name: same, run: {trained.path}}}", more=f"  delta: {{from: {trained.path}}}")
    assert of_run["same"].download_bytes < 100 < told["same"].full_bytes


def test_a_share_may_be_told_instead():
    (told,) = priced(
        "{name: a, bytes: 1 MB, memory: 1 MB, macs: 1e6, accuracy: 70 %}", more="  delta: {ratio: 30 %}"
    ).values()
    assert (told.download_bytes, told.full_bytes) == (300_000.0, 1_000_000.0)


def test_what_is_no_run_of_a_scenario_is_refused_by_name(trained, tmp_path):
    with pytest.raises(InvalidFileError, match=r"holds no model.safetensors"):
        priced(f"{{name: a, run: {tmp_path}}}")
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(FedliteError, match="expected that of a scenario"):
        priced(f"{{name: a, run: {tmp_path}}}")
    (tmp_path / "scenario.yaml").write_text((trained.path / "scenario.yaml").read_text())
    with pytest.raises(FedliteError, match="damaged, missing or of another model"):
        priced(f"{{name: a, run: {tmp_path}}}")
