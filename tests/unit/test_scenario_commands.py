"""`fedlite validate` and `fedlite init`."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.init import init
from fedlite.cli.validate import validate
from fedlite.errors import FedliteError
from fedlite.scenario.loader import load_scenario


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_starter_is_a_scenario_in_order(tmp_path):
    path = tmp_path / "new" / "first.yaml"
    assert run(init, path).exit_code == 0
    assert load_scenario(path).name == "my-first-fleet"
    told = run(validate, path)
    assert (told.exit_code, told.stdout) == (0, f"{path}: this scenario is in order\n")


def test_every_key_the_starter_mentions_in_a_comment_exists(tmp_path):
    path = tmp_path / "first.yaml"
    run(init, path)
    text = path.read_text()
    mentioned = {"start", "availability", "rules", "budgets", "network"}
    for line in text.splitlines():
        key = line.strip().removeprefix("# ")
        if line.lstrip().startswith("# ") and key.split(":")[0] in mentioned:
            text = text.replace(line, line.replace("# ", "", 1))
    text = text.replace("  # over_select", "  over_select").replace("  # deadline", "  deadline")
    text = text.replace("# clients:", "clients:").replace("#   - for", "  - for").replace("#     plan", "    plan")
    path.write_text(text)
    scenario = load_scenario(path)
    assert scenario.fleet.availability.kind == "diurnal"
    assert (scenario.fleet.network.access, scenario.training.deadline_s, len(scenario.clients)) == ("lte", 600.0, 2)


def test_init_never_overwrites(tmp_path):
    path = tmp_path / "first.yaml"
    path.write_text("mine")
    result = run(init, path)
    assert isinstance(result.exception, FedliteError)
    assert "got a path that exists" in str(result.exception)
    assert path.read_text() == "mine"


def test_validate_tells_every_mistake_and_exits_with_2(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nfleet: {devices: 0, mix: consumer-phone}\ntask: {data: digits, model: mlp}\n")
    told = run(validate, path)
    assert told.exit_code == 2
    first, second = told.stdout.splitlines()
    assert first == f"{path}:2:18: fleet.devices: got 0, expected 1 or more; choose a value in this range"
    assert second.startswith(f"{path}:2:26: fleet.mix: got 'consumer-phone', expected a mix out of ")
    assert second.endswith("; write 'consumer-phones'")


def test_a_long_table_of_names_is_cut_to_the_likeliest(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nfleet: {devices: 2, mix: {pixel-44: 1}}\ntask: {data: digits, model: mlp}\n")
    told = run(validate, path).stdout
    assert told.startswith(f"{path}:2:27: fleet.mix.pixel-44: got 'pixel-44', expected a device profile out of pixel-4")
    assert " more; write 'pixel-4a'" in told or " more; write 'pixel-4'" in told
    assert len(told) < 300 + len(str(path))


def test_validate_prints_one_json_object_if_asked(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nfleet: {devices: 2, mix: consumer-phones}\n")
    told = run(validate, path, "--json")
    answer = json.loads(told.stdout)
    assert (told.exit_code, answer["valid"], answer["problems"][0]["key"]) == (2, False, "task")
    assert json.loads(run(validate, path, "--fleet", "--json").stdout)["valid"]


def test_validate_of_a_file_that_is_not_there_exits_with_2(tmp_path):
    told = run(validate, tmp_path / "gone.yaml")
    assert (told.exit_code, "got no file to read" in told.stdout) == (2, True)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("name: s\nbase: x.yaml\n", "study"),
        ('name: m\ntitle: "M"\nshares: {pixel-4: 100 %}\n', "mix"),
        ("name: p\nsoc: X\n", "profile"),
        ("[1]\n", "scenario"),
    ],
)
def test_validate_knows_what_a_file_is(tmp_path, text, kind):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    assert json.loads(run(validate, path, "--json").stdout)["kind"] == kind
