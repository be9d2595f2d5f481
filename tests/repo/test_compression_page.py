"""What the page on the cost of compression shows is what the benchmark's committed results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlite.scenario.strict_yaml import read

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "benchmarks" / "compression"
STUDIES = sorted((ROOT / "scenarios" / "studies").glob("compression-*.yaml"))
RESULTS = json.loads((BENCH / "results.json").read_text())["studies"]


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| file", "| [`"))]


def test_every_row_of_the_page_stands_in_the_results():
    shown = rows((ROOT / "docs" / "concepts" / "compression-studies.md").read_text())
    found = {line for name in ("results.md", "claims.md") for line in rows((BENCH / name).read_text())}
    assert len(shown) > 20
    assert [line for line in shown if line not in found] == []


def test_there_are_results_of_every_study():
    assert sorted(RESULTS) == [path.stem for path in STUDIES]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_results_are_of_the_variants_and_seeds_that_the_study_has(path):
    study, told = read(path.read_text(), str(path)).value, RESULTS[path.stem]
    ran = [row["label"] for row in told["variants"]]
    assert sorted([*ran, *told["not_run"]]) == sorted(one["label"] for one in study["list"])
    assert told["seeds"] == study["seeds"]
    assert all(len(row["accuracy_by_seed"]) == len(study["seeds"]) for row in told["variants"])
