"""`plan: auto` in a scenario: what is chosen, what the tables say, and that it can be trained."""

from __future__ import annotations

import pytest

from fedlite.compose import fleet
from fedlite.compose.learning import prepare
from fedlite.compression.structure.full import FULL
from fedlite.errors import FedliteError
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: autos
seed: 3
fleet:
  devices: 12
  mix: {pixel-4: 50 %, nucleo-h7a3zi: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, clients: 12, model: {name: mlp, options: {hidden: [2048]}}}
training: {rounds: 1, clients_per_round: 6, local: {batch_size: 8}}
clients: [{for: any, plan: auto}]
"""


def classes(text=SCENARIO, **changes):
    scenario = parse_scenario(text, overrides={key.replace("__", "."): value for key, value in changes.items()})
    return {made.profile.name: made for made in fleet.classes(scenario, prepare(scenario))}


def test_a_phone_keeps_the_full_model_and_a_microcontroller_a_slice_that_fits_its_memory():
    found = classes()
    assert found["pixel-4"].plan.is_full
    small = found["nucleo-h7a3zi"]
    assert small.plan.structure.share < 1
    assert not small.excluded
    assert small.work.peak_bytes <= small.profile.job_ram_bytes.value
    assert "training takes" in small.plan_reason
    assert "a job may have" in small.plan_reason


def test_the_next_milder_width_would_not_have_fitted():
    small = classes()["nucleo-h7a3zi"]
    milder = {0.75: 1.0, 0.5: 0.75, 0.25: 0.5, 0.125: 0.25}[small.plan.structure.share]
    text = SCENARIO.replace("plan: auto", f"plan: {{width: {milder}}}")
    told = classes(text)["nucleo-h7a3zi"]
    assert told.work.peak_bytes > told.profile.job_ram_bytes.value
    assert told.plan_reason == ""


def test_a_deadline_is_met_with_a_smaller_codec_before_a_smaller_model():
    link = {"fleet__network__access": "nb-iot"}
    free = classes(**link)["pixel-4"]
    assert free.plan.up == ("fp32",)
    hurried = classes(**link, training__deadline="5 min")["pixel-4"]
    assert not hurried.excluded
    assert (hurried.plan.structure, hurried.plan.up) == (FULL, ("int8", "zstd"))
    assert "its deadline is 5 min" in hurried.plan_reason


def test_told_codecs_stay():
    text = SCENARIO.replace("plan: auto", "plan: {auto: true, up: fp16}")
    found = classes(text, fleet__network__access="nb-iot", training__deadline="5 min")["pixel-4"]
    assert found.plan.up == ("fp16",)


def test_a_class_that_no_plan_fits_is_left_out_with_the_reason_and_the_run_goes_on(tmp_path):
    scenario = parse_scenario(SCENARIO.replace("[2048]", "[32768]"))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"))
    (out,) = done.summary["excluded"]
    assert out["profile"] == "nucleo-h7a3zi"
    assert out["reason"].startswith("no plan fits: even with width 0.125")
    assert done.fleet.filter(profile="pixel-4")["plan_reason"].item() == "The full plan fits."


def test_the_reason_stands_in_the_table_of_classes_and_on_the_page(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    row = done.fleet.filter(profile="nucleo-h7a3zi")
    assert row["plan"].item().startswith("auto: width")
    assert "is the mildest plan that fits" in row["plan_reason"].item()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Why this plan" in page
    assert "is the mildest plan that fits" in page
    assert row["arrived"].item() > 0


def test_a_run_without_automatic_plans_has_no_reasons(tmp_path):
    scenario = parse_scenario(SCENARIO.replace("plan: auto", "plan: {width: 0.125}"))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"))
    assert set(done.fleet["plan_reason"]) == {""}
    assert "Why this plan" not in (tmp_path / "run" / "report.html").read_text()


def test_if_no_plan_fits_anybody_the_error_says_why():
    text = SCENARIO.replace("  rules:", "  budgets: {memory: 1 kB}\n  rules:")
    with pytest.raises(FedliteError, match=r"no device class that can take part.*no plan fits: even with width 0.125"):
        run(parse_scenario(text), settings=Settings("local"))
