"""What the pages say of plans and parts is what the code does."""

import re
from pathlib import Path

import pytest

from fedlite.client.stages import STAGES
from fedlite.compression.constraint import CONSTRAINTS
from fedlite.compression.structure import STRUCTURES
from fedlite.learning.objectives.terms import TERMS
from fedlite.scenario.loader import parse_scenario

DOCS = Path(__file__).parents[2] / "docs"
PLANS = (DOCS / "how-to/plans.md").read_text(encoding="utf-8")
PARTS = DOCS / "examples/parts"
HEAD = """
name: told
fleet: {devices: 4, mix: {pixel-4: 100 %}}
task: {data: digits, model: mlp}
training: {rounds: 1, clients_per_round: 2}
"""


def fences(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_shorthand_and_parts_are_the_same_plan():
    scenario = parse_scenario(HEAD + fences(PLANS, "yaml")[0])
    short, parts, _ = (rule.plan.plan(("fp32",), ("fp32",)) for rule in scenario.clients)
    assert short == parts
    assert short.name == "width 0.5, 90% sparse, 8 bits, nonzero+zstd up"


@pytest.mark.parametrize(
    ("key", "table"),
    [("structure", STRUCTURES), ("constraints", CONSTRAINTS), ("terms", TERMS), ("stages", STAGES)],
)
def test_the_page_names_every_part_that_ships(key, table):
    row = next(line for line in PLANS.splitlines() if line.startswith(f"| `{key}`"))
    assert set(re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1])) == set(table)


def test_every_example_of_a_part_is_small_named_on_the_page_and_used():
    page = (DOCS / "how-to/extend.md").read_text(encoding="utf-8")
    scenario = (PARTS / "own_parts.yaml").read_text(encoding="utf-8")
    files = sorted(PARTS.glob("*.py"))
    assert len(files) == 6
    for file in files:
        assert f"../examples/parts/{file.name}" in page
        assert f"{file.stem}:" in scenario
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 95
