"""Values set from outside the file, and a scenario written back."""

from __future__ import annotations

import pytest

from fedlite.errors import InvalidFileError
from fedlite.scenario import names
from fedlite.scenario.dump import dump, dump_scenario
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.strict_yaml import read

BASE = """\
name: base
fleet: {devices: 20, mix: {phone: 1}}
task: {data: digits, model: mlp}
training: {strategy: fedadam, rounds: 5}
clients: [{for: any, plan: {width: 0.5}}]
"""


@pytest.fixture(autouse=True)
def _one_profile(monkeypatch):
    monkeypatch.setattr(names, "profiles", lambda: ["phone"])


def test_an_override_is_read_as_yaml():
    scenario = parse_scenario(BASE, overrides={"training.rounds": "3", "wire.up": "[topk:0.1, int8]", "seed": 9})
    assert (scenario.training.rounds, scenario.wire.up, scenario.seed) == (3, ("topk:0.1", "int8"), 9)


def test_an_override_makes_the_sections_on_its_way():
    scenario = parse_scenario(BASE, overrides={"fleet.budgets.memory": "512 MiB", "training.local.lr": "1e-3"})
    assert scenario.fleet.budgets.memory_bytes == 512 * 1024**2
    assert scenario.training.local.lr == 0.001


def test_an_override_reaches_into_shorthand_and_lists():
    scenario = parse_scenario(BASE, overrides={"training.strategy.eta": "0.5", "clients.0.plan.width": "0.25"})
    assert (scenario.training.strategy.name, scenario.training.strategy.eta) == ("fedadam", 0.5)
    assert scenario.clients[0].plan.width == 0.25


def test_an_override_replaces_a_whole_section_and_its_places():
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(BASE, "x.yaml", {"training": "{rounds: 0}"})
    told = "override training={rounds: 0}: training.rounds: got 0, expected 1 or more; choose a value in this range"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("training.rounds", "abc", "override training.rounds=abc: training.rounds: got 'abc', expected a whole number"),
        ("training.rouns", "3", "override training.rouns=3: training.rouns: got an unknown key"),
        ("training.rounds.x", "3", "got a key inside 'training.rounds', which is no section here"),
        ("clients.4.plan", "full", "got a key inside 'clients.4', which is no section here"),
        ("seed", "[1", "override seed=[1: seed: got no valid YAML"),
        (
            "training.clients_per_round",
            "30",
            "override training.clients_per_round=30: training.clients_per_round: got 30",
        ),
    ],
)
def test_a_mistaken_override_is_told_by_its_name(key, value, told):
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(BASE, "x.yaml", {key: value})
    assert told in str(caught.value)


RICH = """\
name: rich
description: "no: 1e-5"
seed: 123456789012345678
fleet:
  devices: 1000
  mix: {phone: 100 %}
  start: Fri 06:45
  availability: {kind: diurnal, time_zones: [-8, 0, 5.5], habits: {docked_share: 0.2}}
  rules: {min_battery: 33.3 %}
  budgets: {cpu_share: 50 %, cpu_time: 90 s, memory: 1.5 GiB, battery_floor: 12.5 %, energy_per_day: 2.1 Wh}
  network: {access: lte, region: france}
  carbon_grid: germany
task:
  data: idx:/data/images
  partition: {kind: quantity, sigma: 0.7, min_size: 3}
  clients: 77
  model: {name: "fedlite.learning.models.mlp:mlp", width: 0.5, options: {hidden: [64, 32], act: "no", on: true}}
training:
  strategy: {name: multikrum, num_malicious_nodes: 2, num_nodes_to_select: 3}
  clients_per_round: 12
  deadline: 1.7 min
  first: 9
  local: {lr: 3e-3, optimizer: adam, max_steps: 50}
  target_accuracy: 0.123456789
clients:
  - {for: {tier: mcu}, plan: {sparsity: 90 %, scope: local, up: "nonzero+zstd"}}
  - {for: any, plan: {bits: 4, error_feedback: false}}
wire: {up: "topk:0.01+int4+zstd", down: bf16, error_feedback: true}
privacy: {mechanism: local-dp, clipping_norm: 0.5, epsilon: 3.5, delta: 1e-7}
report: {title: "12:30", per_client_evaluation: false}
"""


def test_a_scenario_with_everything_in_it_reads_back_the_same(monkeypatch):
    text = RICH.replace('up: "topk:0.01+int4+zstd"', "up: topk:0.01+zstd").replace("error_feedback: true", "")
    text = text.replace("down: bf16, }", "down: bf16}")
    scenario = parse_scenario(text)
    written = dump_scenario(scenario)
    assert parse_scenario(written) == scenario
    assert dump_scenario(parse_scenario(written)) == written


def test_quantities_are_written_back_with_their_units():
    written = dump_scenario(parse_scenario(BASE, overrides={"fleet.budgets": "{memory: 0.5 GiB, cpu_time: 300 s}"}))
    assert "cpu_time: 5 min" in written
    assert "memory: 512 MiB" in written


@pytest.mark.parametrize("text", ["no", "1e-5", "0o17", "12:30:45", "~", "", "true", " x", "a: b", "#c", "0x1f", "é\n"])
def test_text_stays_text_when_written(text):
    assert read(dump({"key": text, text or "k": 1}), "x").value == {"key": text, text or "k": 1}
