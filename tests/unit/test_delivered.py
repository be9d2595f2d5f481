"""What a run ships under each plan: named in a scenario as techniques or deliveries, tested, told everywhere."""

from __future__ import annotations

import json

import pytest

from fedlite.errors import FedliteError, InvalidFileError
from fedlite.report.console import summary_table
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: tiny
fleet:
  devices: 8
  mix: {pixel-8: 50 %, pi-4b: 25 %, galaxy-a52: 25 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: MODEL}
training: {strategy: fedavg, rounds: 2, clients_per_round: 4, local: {epochs: 2, lr: 0.1}}
clients:
  - for: {profile: pixel-8}
    plan: PLAN
  - for: {profile: pi-4b}
    plan: {width: 0.5}
"""


def scenario(plan, model="mlp"):
    return parse_scenario(SCENARIO.replace("PLAN", plan).replace("MODEL", model))


def mistakes(plan):
    with pytest.raises(InvalidFileError) as caught:
        scenario(plan)
    return str(caught.value)


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
    assert "chooses a net or searches for a plan" in mistakes("{techniques: [compact-net]}")
    assert "got the delivery 'static-quantization' 2 times" in mistakes("{techniques: [static-int8, qat-int8]}")
    assert "keep 'auto' or name the plan yourself" in mistakes("{auto: true, techniques: [static-int8]}")


def test_a_delivery_that_does_not_apply_is_refused_before_anything_is_trained(tmp_path):
    plan = scenario("{techniques: [{name: static-int8, keep: [head]}]}")
    with pytest.raises(FedliteError, match=r"keep: got 'head', which no layer of static-quantization is called"):
        run(plan, out=tmp_path / "run", settings=Settings("local"))


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


def test_report_and_terminal_tell_it(finished):
    data = read_run(finished.path)
    page = json.dumps([str(block) for section in run_page(data).sections for block in section.blocks])
    assert "What is shipped under each plan, tested" in page
    from rich.console import Console

    with (console := Console(width=140)).capture() as seen:
        console.print(summary_table(finished.path))
    assert "Shipped under static int8: " in seen.get()


def test_a_run_that_ships_what_it_trained_says_nothing(tmp_path):
    plain = parse_scenario(SCENARIO[: SCENARIO.index("clients:\n")].replace("MODEL", "mlp"))
    assert run(plain, out=tmp_path / "run", settings=Settings("local")).summary["delivered"] == []
