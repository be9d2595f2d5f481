"""What a rollout plan may say, and that it reads back as itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlite.scenario.loader import load_fleet
from fedlite.scenario.rollout.devices import DeviceFilter, of_class
from fedlite.scenario.rollout.loading import dump_rollout, load_rollout, parse_rollout
from fedlite.scenario.rollout.worlds import World
from fedlite.units import DAY_S, HOUR_S

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "scenarios" / "rollout").glob("*.yaml"))


def test_the_small_plan_is_in_order_and_its_defaults_are_those_of_the_reference(plans):
    plan = plans.read()
    assert (plan.name, plan.replications, plan.horizon_s) == ("small", 200, 30 * DAY_S)
    assert plan.worlds == (World(name="good"),)
    assert plan.worlds[0].good
    assert (plan.model.match, plan.model.fallback, plan.control) == ("best-accuracy", "keep-old", 0.0)
    assert (plan.gates[0].alpha, plan.gates[0].worse, plan.gates[0].kind) == (0.05, "increase", "binary")
    assert parse_rollout(dump_rollout(plan)) == plan


def test_four_plans_ship():
    assert {path.stem for path in SHIPPED} >= {
        "kws-canary",
        "phone-phased",
        "iot-groups",
        "bad-on-lowend",
        "campaign-gboard-like",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_plan_loads_and_reads_back_the_same(path):
    plan = load_rollout(path)
    assert plan.name == path.stem
    assert plan.description
    assert parse_rollout(dump_rollout(plan)) == plan
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert all(word in header for word in ("Question:", "Expected:", "Minutes:"))


def test_a_fleet_may_be_that_of_a_scenario_and_keys_beside_its_name_change_it(plans):
    name = ROOT / "scenarios" / "quickstart.yaml"
    theirs = load_fleet(name).fleet
    plan = plans.read(fleet=f"{{scenario: {name}, devices: 5000}}")
    assert plan.fleet.devices == 5000
    assert plan.fleet.mix == theirs.mix
    assert plan.fleet.availability == theirs.availability
    assert plan.fleet.protocol == theirs.protocol
    # Whom training asks is no matter of a rollout.
    assert plan.fleet.rules != theirs.rules
    assert parse_rollout(dump_rollout(plan)) == plan


def test_the_path_of_a_scenario_starts_from_the_plan(plans, tmp_path):
    (tmp_path / "fleet.yaml").write_text("name: f\nfleet: {devices: 70, mix: iot-gateway}\n")
    (tmp_path / "plan.yaml").write_text(plans.changed(fleet="{scenario: fleet.yaml}"))
    assert load_rollout(tmp_path / "plan.yaml").fleet.devices == 70


def test_a_mistake_in_the_scenario_is_told_with_its_own_place(plans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text("name: f\nfleet: {devices: 0, mix: iot-gateway}\n")
    found = plans.mistakes(fleet="{scenario: fleet.yaml}")
    assert found == [
        (
            "plan.yaml:2:19: fleet.scenario: got the scenario 'fleet.yaml', whose mistake is "
            "fleet.yaml:2: fleet.devices: got 0, expected 1 or more; choose a value in this range"
        )
    ]


def test_numbers_by_class_prefer_the_profile_then_the_tier():
    table = {"any": 0.7, "phone-low": 0.6, "galaxy-a21s": 0.5}
    assert of_class(table, profile="galaxy-a21s", tier="phone-low") == 0.5
    assert of_class(table, profile="redmi-note-4", tier="phone-low") == 0.6
    assert of_class(table, profile="pixel-4", tier="phone-high") == 0.7
    assert of_class({"phone-low": 0.6}, profile="pixel-4", tier="phone-high") is None
    assert of_class(None, profile="pixel-4", tier="phone-high") is None


def test_a_number_by_class_reads_back_as_it_was_written(plans):
    told = "{name: a, bytes: 4 MB, memory: 20 MiB, latency: {phone-low: 90 ms, any: 30 ms}, accuracy: 70 %}"
    plan = plans.read(variant=told)
    assert plan.model.variants[0].latency_s == {"phone-low": 0.09, "any": 0.03}
    assert plan.model.variants[0].accuracy == {"any": pytest.approx(0.7)}
    assert parse_rollout(dump_rollout(plan)) == plan


def test_a_filter_means_tiers_or_profiles_and_without_any_everybody():
    some = DeviceFilter(tiers=("mcu",), profiles=("pixel-4",))
    assert some.fits(profile="esp32-s3", tier="mcu")
    assert some.fits(profile="pixel-4", tier="phone-high")
    assert not some.fits(profile="pixel-8", tier="phone-flagship")
    assert DeviceFilter().everyone
    assert DeviceFilter().fits(profile="pixel-8", tier="phone-flagship")


def test_who_updates_by_itself_follows_from_the_adoption(plans):
    curve = "adoption: {shares: [35.3 %, 32.9 %], means: [1.62 d, 28.3 d]}"
    assert plans.read().audience.automatic == 1.0
    audience = plans.read(f"audience: {{{curve}}}\n").audience
    assert audience.automatic == 0.0
    assert audience.adoption.never == pytest.approx(0.318)
    assert plans.read(f"audience: {{{curve}, auto_update: 40 %}}\n").audience.automatic == 0.4
    window = plans.read("audience: {adoption: {shares: [24.6 %, 78.5 %], means: [0.58 d, 4.75 d]}}\n").audience
    assert window.adoption.never == 0.0


def test_a_run_and_an_artifact_are_found_from_the_plan(plans, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"12345678")
    (tmp_path / "m.bin").write_bytes(b"123")
    told = (
        "{name: a, run: run, plan: {bits: 8}}\n"
        "    - {name: b, artifact: m.bin, memory: 1 MiB, macs: 1e6, accuracy: {any: 60 %}}"
    )
    path = tmp_path / "plan.yaml"
    path.write_text(plans.changed(variant=told).replace("variants:", "delta: {from: m.bin}\n  variants:"))
    one, two = load_rollout(path).model.variants
    assert one.run == str(tmp_path / "run")
    assert one.plan.bits == 8
    assert (one.needed_storage_bytes, two.needed_storage_bytes, two.needed_memory_bytes) == (0.0, 3.0, 1048576.0)
    # The run is there, but it was never finished.
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(Exception, match=r"variants\.0\.run: got 'run', which holds no model\.safetensors"):
        load_rollout(path)


def test_an_override_changes_one_key(plans, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(plans.text)
    changed = load_rollout(path, {"fleet.devices": "50", "strategy.steps.1.pause.duration": "2 h"})
    assert (changed.fleet.devices, changed.steps[0].hold_s) == (50, 2 * HOUR_S)
