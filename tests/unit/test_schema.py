"""Files of an earlier schema are understood and rewritten; the JSON Schema tells files in order from mistaken ones."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import typer

from fedlite.cli.schema import migrate
from fedlite.cli.validate import kind_of
from fedlite.errors import InvalidFileError, UnknownNameError
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.json_schema import KINDS, json_schema
from fedlite.scenario.loader import open_document, parse_scenario
from fedlite.scenario.migrations import CURRENT, STEPS
from fedlite.scenario.strict_yaml import read
from fedlite.scenario.study import Study

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*ROOT.glob("scenarios/**/*.yaml"), *ROOT.glob("docs/examples/**/*.yaml")])
SCENARIO = """\
name: x
fleet: {devices: 4, mix: {pixel-8: 1.0}}
task:
  data: digits
  model: mlp
  partition: {kind: flwr_datasets, partitioner: IidPartitioner, ARGUMENTS: {a: 1}}  # dealt by others
training:
  strategy:   # one's own
    name: builtins:dict
    ARGUMENTS: {lr: 1}
"""
OLD = SCENARIO.replace("ARGUMENTS", "arguments")
NEW = SCENARIO.replace("ARGUMENTS", "options")


def test_a_file_of_an_earlier_schema_means_the_same():
    old = parse_scenario(f"schema: 1\n{OLD}")
    assert old == parse_scenario(NEW)
    assert old.schema_ == CURRENT
    assert old.training.strategy.options == {"lr": 1}


def test_a_mistake_in_an_older_file_is_told_where_it_stands():
    with pytest.raises(InvalidFileError, match=r"11:21: training.strategy.options.lr: got an argument that is no text"):
        parse_scenario(f"schema: 1\n{OLD.replace('{lr: 1}', '{lr: {x: 1}}')}")


def test_an_earlier_key_in_a_file_of_today_is_told_with_its_new_name():
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(OLD)
    told = {problem.key: problem for problem in caught.value.problems}
    for key in ("training.strategy.arguments", "task.partition.arguments"):
        assert told[key].message == "got the key of an earlier schema, expected 'options', as it is called now"
        assert "fedlite migrate FILE" in told[key].remedy


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (CURRENT + 1, "for the file is of a later fedlite; update fedlite"),
        (0, f"write 'schema: {CURRENT}'"),
        ("new", "got 'new'"),
    ],
)
def test_a_schema_that_there_is_not_is_refused(said, text):
    with pytest.raises(InvalidFileError, match=f"1:9: schema: .*{text}"):
        parse_scenario(f"schema: {said}\n{NEW}")


def test_the_resolved_scenario_says_its_schema():
    assert f"schema: {CURRENT}" in dump_scenario(parse_scenario(NEW))


def test_migrate_renames_keys_and_leaves_the_rest_as_it_was(tmp_path, capsys):
    path = tmp_path / "old.yaml"
    path.write_bytes(f"# mine\r\nschema: 1  # of last year\r\n{OLD}".encode())
    with pytest.raises(typer.Exit):
        migrate(path, check=True)
    assert b"arguments" in path.read_bytes()
    migrate(path)
    assert path.read_bytes() == f"# mine\r\nschema: {CURRENT}  # of last year\r\n{NEW}".encode()
    assert f"{path}:8:65: arguments is now options" in capsys.readouterr().out
    migrate(path)
    assert "nothing to change" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"name: x\nschema: {CURRENT + 1}\n", "2:9: schema: .*for the file is of a later fedlite"),
        ("schema: true\n", "1:9: schema: got True"),
        ("hello\n", r"1:1: \(file\): got 'hello', expected the keys of a scenario"),
        ("", r"1:1: \(file\): got an empty file"),
    ],
)
def test_migrate_refuses_what_it_cannot_read(tmp_path, text, told):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InvalidFileError, match=f"x.yaml:{told}"):
        migrate(path)
    assert path.read_text() == text


def test_migrate_renames_keys_in_a_study_wherever_it_names_them(tmp_path):
    path = tmp_path / "study.yaml"
    text = (
        "name: s\nbase: b.yaml\n"
        "grid:\n  training.strategy.ARGUMENTS.lr: [1, 2]\n  training.strategy: [{name: 'a:b', ARGUMENTS: {x: 1}}]\n"
        "list:\n  - {task: {partition: {ARGUMENTS: {y: 1}}}, label: arguments}\n"
    )
    path.write_text(text.replace("ARGUMENTS", "arguments"), encoding="utf-8")
    migrate(path)
    assert path.read_text(encoding="utf-8") == text.replace("ARGUMENTS", "options")


def test_every_step_leads_to_the_next():
    assert sorted(STEPS) == list(range(1, CURRENT))
    assert Study.model_fields["schema_"].default == CURRENT


@pytest.fixture(scope="module")
def validators():
    return {kind: jsonschema.Draft202012Validator(json_schema(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_json_schema_is_one(kind):
    jsonschema.Draft202012Validator.check_schema(json_schema(kind))


def test_there_is_no_other_kind_of_schema():
    with pytest.raises(UnknownNameError, match="expected one of rollout, scenario, study"):
        json_schema("profile")


def test_every_shipped_file_is_in_order_by_the_json_schema(validators):
    wrong = {
        f"{path.name}: {error.message[:200]}"
        for path in SHIPPED
        for document in [open_document(path)]
        for error in validators[kind_of(document)].iter_errors(document.value)
    }
    assert not wrong
    assert len(SHIPPED) > 30


PLAIN = {
    "name": "x",
    "fleet": {"devices": 4, "mix": "mixed"},
    "task": {"data": "digits", "model": "mlp"},
    "training": {"rounds": 3},
    "clients": [{"for": "any", "plan": "full"}],
}


def changed(dotted, value):
    document = read(repr(PLAIN).replace("'", '"'), "x").value
    inside = document
    *path, last = dotted.split(".")
    for part in path:
        inside = inside[int(part)] if part.isdigit() else inside.setdefault(part, {})
    inside[int(last) if last.isdigit() else last] = value
    return document


RIGHT = [
    ("training.deadline", "10 min"),
    ("fleet.budgets", {"memory": "10 MB", "cpu_share": "25 %"}),
    ("fleet.budgets", {"cpu_share": 0.25}),
    ("fleet.start", "Mon 20:00"),
    ("fleet.protocol", {"min_gap": "1 h"}),
    ("fleet.protocol", "production"),
    ("fleet.mix", {"pixel-8": "30 %", "my.yaml": 0.7}),
    ("clients.0.plan", {"width": 0.5, "up": "topk:0.1+zstd"}),
    ("clients.0.plan", "auto"),
    ("clients.0.plan", {"structure": {"name": "thin:Thin", "rank": 6}}),
    ("clients.0.for", {"tier": "mcu"}),
    ("task.partition", "iid"),
    ("task.partition", {"kind": "dirichlet", "alpha": 0.3}),
    ("task.model", "my.nets:net"),
    ("task.data", {"csv": "a.csv", "label": "y", "test": "30 %"}),
    ("training.strategy", "fedadam"),
    ("training.strategy", "mine:Strategy"),
    ("wire", {"up": "fp16", "delta": True}),
    ("privacy", {"mechanism": "none"}),
    ("schema", 1),
]
WRONG = [
    ("training.deadline", "10"),
    ("training.deadline", 600),
    ("training.deadline", "10 MB"),
    ("training.round", 3),
    ("training.rounds", "3"),
    ("fleet.budgets", {"memory": "10 XB"}),
    ("fleet.start", "Monday 20:00"),
    ("fleet.mix", "mixd"),
    ("fleet.mix", {"pixel-88": 1}),
    ("fleet.protocol", "producton"),
    ("clients.0.plan", "half"),
    ("clients.0.plan", {"widht": 0.5}),
    ("clients.0.plan", {"structure": "thinn"}),
    ("clients.0.for", "some"),
    ("clients.0.for", {"tier": "mcus"}),
    ("task.partition", "idd"),
    ("task.partition", {"alpha": 0.3}),
    ("task.model", "mpl"),
    ("task.data", {"cvs": "a.csv"}),
    ("training.strategy", "fedadm"),
    ("schema", CURRENT + 1),
    ("tasks", {}),
]


@pytest.mark.parametrize(("dotted", "value"), RIGHT)
def test_the_json_schema_takes_what_may_be_written(validators, dotted, value):
    assert not list(validators["scenario"].iter_errors(changed(dotted, value)))


@pytest.mark.parametrize(("dotted", "value"), WRONG)
def test_the_json_schema_refuses_typical_mistakes(validators, dotted, value):
    assert not validators["scenario"].is_valid(changed(dotted, value))
