"""Plans that follow what a device has: by charge, uplink and memory, job by job."""

import math

import numpy as np
import polars as pl
import pytest

from fedlite import runner
from fedlite.client.assignment import ByCondition, ByProfile, Condition, Standing
from fedlite.compose import fleet as compose_fleet
from fedlite.compose.runtimes import standing
from fedlite.compression.plan import Plan
from fedlite.errors import FedliteError
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile

A, B, C, D = (Plan(name) for name in "ABCD")
SCENARIO = """
name: conditions
seed: 3
fleet:
  devices: 12
  mix: {pixel-8: 50 %, wileyfox-swift: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: {name: mlp, options: {hidden: [16]}}}
training: {rounds: 4, clients_per_round: 8, local: {batch_size: 16, lr: 0.1}}
clients:
  - for: {profile: pixel-8}
    when: {charge_below: 60 %, up_below: 1 Gbit/s}
    plan: {sparsity: 0.8}
  - for: any
    when: {up_below: 15 Mbit/s}
    plan: {up: topk:0.1}
  - for: any
    plan: {bits: 8}
"""


def test_the_first_case_that_is_met_holds_and_all_of_a_condition_must_be():
    look = Standing(np.array([0.1, 0.1, 0.9, 0.9, 0.1]), np.array([1e6, 9e6, 1e6, 9e6, 1e6]), np.full(5, 1e9))
    cases = [[(Condition(charge=0.5, up_bps=2e6), A), (Condition(charge=0.5), B)], [(Condition(memory_bytes=2e9), C)]]
    asked = []

    def looked(devices, now_s):
        asked.append((devices.tolist(), now_s))
        return look

    assignment = ByCondition(ByProfile([D, D], np.array([0, 0, 0, 0, 1])), cases, looked)
    assert [plan.name for plan in assignment.plans(np.arange(5), 2, 77.0)] == ["A", "B", "D", "D", "C"]
    assert asked == [([0, 1, 2, 3, 4], 77.0)]


def test_a_limit_is_no_longer_below_itself():
    standing_ = Standing(np.array([0.5, math.nextafter(0.5, 0)]), np.ones(2), np.ones(2))
    assert Condition(charge=0.5).met(standing_).tolist() == [False, True]


def fleet(text=SCENARIO):
    scenario = parse_scenario(text)
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    return compose_fleet.build(scenario, profiles, [False] * len(profiles))


def test_what_devices_have_is_the_fleets_own_state():
    own, devices = fleet(), np.arange(12)
    found = standing(own, devices, 0.0)
    np.testing.assert_allclose(found.charge, own.charge_at(devices, 0.0) / own.capacity_of(devices))
    assert ((found.charge > 0) & (found.charge <= 1)).all()
    home = own.presence.on_home_link(devices, 0.0)
    people = own.population
    wanted = [(people.home if at else people.away).up_bps[d] for d, at in zip(devices, home, strict=True)]
    assert found.up_bps.tolist() == wanted
    of = [people.profiles[k].job_ram_bytes.value for k in people.profile_of]
    assert found.memory_bytes.tolist() == of
    tight = standing(fleet(SCENARIO.replace("devices: 12", "devices: 12\n  budgets: {memory: 100 MB}")), devices, 0.0)
    assert (tight.memory_bytes <= 100e6).all()


def test_on_mains_there_is_always_charge():
    text = SCENARIO.replace("{pixel-8: 50 %, wileyfox-swift: 50 %}", "{pi-4b: 1}").split("clients:")[0]
    assert (standing(fleet(text), np.arange(12), 0.0).charge == 1.0).all()


def run(folder, text=SCENARIO):
    return runner.run(parse_scenario(text), out=folder, settings=runner.Settings("local"))


def test_a_run_follows_its_devices_and_the_ledger_says_which_plan(tmp_path):
    finished = run(tmp_path / "a")
    rows = finished.clients.filter(pl.col("kind") == "train")
    assert set(rows["plan"]) == {"80% sparse", "topk:0.1 up", "8 bits"}
    capacity = {name: load_profile(name).battery_j.value for name in ("pixel-8", "wileyfox-swift")}
    share = np.array([row["battery_before_j"] / capacity[row["profile"]] for row in rows.iter_rows(named=True)])
    sparse = (rows["plan"] == "80% sparse").to_numpy()
    pixel = (rows["profile"] == "pixel-8").to_numpy()
    assert (sparse <= (pixel & (share < 0.6))).all()
    # A phone of that kind with less charge has another plan only on a link of a gigabit.
    assert (sparse == (pixel & (share < 0.6))).all()
    again = run(tmp_path / "b")
    assert again.summary["digest"] == finished.summary["digest"]


def test_a_scenario_with_conditions_is_written_out_as_it_was_read():
    scenario = parse_scenario(SCENARIO)
    assert parse_scenario(dump_scenario(scenario)) == scenario
    options = scenario.options_for(profile="pixel-8", tier="phone-high")
    assert [option.condition for option in options] == [Condition(0.6, 1e9), Condition(up_bps=15e6), None]
    assert [option.plans[0].name for option in options] == ["80% sparse", "topk:0.1 up", "8 bits"]
    assert options[1].plans[0].up == ("topk:0.1",)
    assert [option.rule for option in scenario.options_for(profile="wileyfox-swift", tier="phone-low")] == [1, 2]
    assert scenario.plan_for(profile="pixel-8", tier="phone-high").name == "8 bits"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("when: {up_below: 15 Mbit/s}", "when: {}", "got no condition, expected one"),
        ("when: {up_below: 15 Mbit/s}", "when: {up_below: 15}", "up_below"),
        ("when: {up_below: 15 Mbit/s}", "when: {charge_below: 120 %}", "charge_below"),
        ("plan: {up: topk:0.1}", "plan: auto", "got 'auto' with 'when', expected one"),
        ("when: {up_below: 15 Mbit/s}\n", "\n", "whose devices rule 1 already has"),
    ],
)
def test_mistakes_are_told(old, new, message):
    with pytest.raises(FedliteError) as caught:
        parse_scenario(SCENARIO.replace(old, new))
    assert message in str(caught.value)
