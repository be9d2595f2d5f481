"""Every scenario and study that ships is in order, answers one question, and says what to expect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_scenario, parse_scenario
from fedlite.scenario.study import load_study

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "scenarios"
SCENARIOS = sorted([*SHIPPED.glob("*.yaml"), *(SHIPPED / "papers" / "base").glob("*.yaml")])
STUDIES = sorted([*(SHIPPED / "studies").glob("*.yaml"), *(SHIPPED / "papers").glob("*.yaml")])
PROMISED = {
    "quickstart",
    "digits-smoke",
    "fashion-heterogeneous",
    "async-fedbuff",
    "million-devices",
    "dp-watch",
    "campaign-gboard-like",
}


def test_every_promised_scenario_ships():
    assert {path.stem for path in SCENARIOS} >= PROMISED
    assert STUDIES


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_shipped_scenario_loads_and_reads_back_the_same(path):
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.description
    assert parse_scenario(dump_scenario(scenario)) == scenario


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_variant_of_a_shipped_study_loads(path):
    loaded = load_study(path)
    assert loaded.study.name == path.stem
    assert len({(variant.label, variant.seed) for variant in loaded.variants}) == len(loaded.variants) > 1
    # Fewer tell no spread.
    assert len(loaded.study.seeds) >= 3


@pytest.mark.parametrize("path", [*SCENARIOS, *STUDIES], ids=lambda path: path.stem)
def test_the_header_says_question_expectation_and_minutes(path):
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    for word in ("Question:", "Expected:", "Minutes:"):
        assert word in header


def test_the_scenario_reference_says_what_the_schema_says():
    """If this fails: python docs/generate_reference.py"""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_checking_a_scenario_imports_nothing_heavy():
    code = (
        "import sys; from fedlite.scenario.study import load_study; "
        "load_study('scenarios/studies/wire-codecs.yaml'); "
        "print(sorted({'torch', 'ray', 'flwr', 'polars', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
