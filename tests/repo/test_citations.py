"""Every citation can be printed, and a scenario cites what it uses and nothing else."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.cite import cite
from fedlite.cli.doctor import doctor
from fedlite.client.choosers import CHOOSERS
from fedlite.client.stages import STAGES
from fedlite.compression.channels.importance import IMPORTANCES, importance_of
from fedlite.compression.constraint import CONSTRAINTS
from fedlite.compression.part import Part, found
from fedlite.compression.structure import STRUCTURES
from fedlite.delivery import DELIVERIES
from fedlite.learning.data.catalog import CATALOG
from fedlite.learning.models.layers import LAYERS
from fedlite.learning.objectives import OBJECTIVES, objective
from fedlite.learning.objectives.terms import TERMS
from fedlite.report import citations
from fedlite.scenario.loader import load_scenario, parse_scenario
from fedlite.scenario.share import share_dir
from fedlite.techniques import TECHNIQUES

TINY = """
name: tiny
fleet: {devices: 4, mix: {pixel-8: 1}}
task: {data: digits, partition: iid, model: mlp}
"""


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def keys(text):
    return {one.key for one in citations.cited(parse_scenario(text))}


def cites(reference):
    return found(reference, Part).cites


def tables():
    return [value for name, value in vars(citations).items() if name.isupper() and isinstance(value, dict)]


def test_every_key_in_a_table_has_an_entry_and_every_entry_is_used():
    named = {key for table in tables() for key in table.values()}
    named |= {value for name, value in vars(citations).items() if name.isupper() and isinstance(value, str)}
    named |= {key for name in OBJECTIVES for key in objective(name).cites}
    parts = (STRUCTURES, CONSTRAINTS, TERMS, STAGES, DELIVERIES, LAYERS, CHOOSERS)
    named |= {key for table in parts for part in table.values() for key in cites(part)}
    named |= {key for name in IMPORTANCES for key in importance_of(name).cites}
    named |= {key for technique in TECHNIQUES.values() for key in technique.cites}
    assert named == set(citations.entries()) - {"fedlite"}


def test_every_dataset_of_the_catalogue_is_cited():
    assert set(citations.DATASETS) == set(CATALOG)


@pytest.mark.parametrize("key", sorted(citations.entries()))
def test_an_entry_is_whole(key):
    text = citations.entries()[key]
    assert text.startswith("@")
    assert text.count("{") == text.count("}")
    assert {"title", "author"} <= set(re.findall(r"^  (\w+)", text, re.MULTILINE))


def test_a_plain_scenario_cites_fedavg_its_loss_and_its_data_only():
    software = {one.key for one in citations.cited()}
    assert keys(TINY) - software == {
        "mcmahan2017communication",
        "alpaydin1998optical",
        "bridle1990probabilistic",
    }


@pytest.mark.parametrize(
    ("addition", "key"),
    [
        ("clients: [{for: any, plan: {width: 0.5}}]", "diao2021heterofl"),
        ("adversary: {sees: updates}", "geiping2020inverting"),
        ("adversary: {sees: models, canaries: {clients: 2, norm: 1.0}}", "steinke2023privacy"),
        ("clients: [{for: any, plan: {sparsity: 50 %}}]", "han2015learning"),
        ("clients: [{for: any, plan: {bits: 8}}]", "jacob2018quantization"),
        ("wire: {up: 'topk:0.1+zstd'}", "stich2018sparsified"),
        ("wire: {up: int8}", "alistarh2017qsgd"),
        ("training: {strategy: feddf}", "lin2020ensemble"),
        ("training: {strategy: {name: fedbuff, buffer: 2, concurrency: 3}}", "nguyen2022federated"),
        ("training: {over_select: 1.3}", "bonawitz2019towards"),
    ],
)
def test_a_method_is_cited_where_it_is_used(addition, key):
    assert key not in keys(TINY)
    assert key in keys(TINY + addition)


def test_the_command_prints_bibtex_and_json():
    path = share_dir("scenarios") / "quickstart.yaml"
    plain, machine = run(cite, str(path)), run(cite, str(path), "--json")
    wanted = [one.key for one in citations.cited(load_scenario(path))]
    assert re.findall(r"^@\w+{([\w]+),", plain.stdout, re.MULTILINE) == wanted
    assert [one["key"] for one in json.loads(machine.stdout)] == wanted


def test_doctor_finds_this_machine_in_order_and_says_so_to_programs():
    answer = run(doctor, "--json")
    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["ok"]) == (0, True)
    assert {"python", "torch", "torch computes", "free memory"} <= {one["name"] for one in told["findings"]}


def test_doctor_fails_where_a_library_is_missing(monkeypatch):
    monkeypatch.setitem(doctor.__globals__["LIBRARIES"], "no-such-distribution", "no_such_module")
    answer = run(doctor, "--json")
    assert answer.exit_code == 1
    failed = [one for one in json.loads(answer.stdout)["findings"] if one["state"] == "failed"]
    assert [one["name"] for one in failed] == ["no-such-distribution"]
    assert failed[0]["remedy"]
