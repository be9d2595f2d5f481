"""What the page on published results shows is what the committed results say, of the studies as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlite.scenario.strict_yaml import read

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "benchmarks" / "papers"
STUDIES = sorted((ROOT / "scenarios" / "papers").glob("*.yaml"))
RESULTS = json.loads((BENCH / "results.json").read_text())["papers"]
VERDICTS = {"reproduced", "same order", "undecided", "not reproduced"}


def rows(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(("| file", "| [`"))]


def test_every_row_of_the_page_stands_in_the_results():
    shown = rows(ROOT / "docs" / "concepts" / "papers.md")
    found = set(rows(BENCH / "results.md"))
    assert len(shown) > 20
    assert [line for line in shown if line not in found] == []


def test_there_are_results_of_every_study():
    assert sorted(RESULTS) == [path.stem for path in STUDIES]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_results_are_of_the_settings_and_seeds_that_the_study_has(path):
    study, told = read(path.read_text(), str(path)).value, RESULTS[path.stem]
    ran = [row["label"] for row in told["settings"]]
    assert sorted([*ran, *told["not_run"]]) == sorted(one["label"] for one in study["list"])
    assert told["seeds"] == study["seeds"]
    assert len(told["seeds"]) >= 3
    assert all(len(row["digests"]) == len(study["seeds"]) for row in told["settings"])
    assert {claim["verdict"] for claim in told["claims"]} <= VERDICTS
    assert told["claims"] or told["not_run"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_header_names_the_paper_and_what_was_reduced(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert {"# Paper:", "# Reduced:"} <= {line.split("  ")[0] for line in header}
