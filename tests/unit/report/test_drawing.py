"""The script for figures: small, whole, licensed, and one for all runs of a study."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from fedlite.report import drawing
from fedlite.report.figure import Figure, View
from fedlite.report.run_page import write_report

ROOT = Path(__file__).parents[3]
REPORT = ROOT / "fedlite" / "report"
AXES_AND_SHAPES = {"category", "log", "line", "data"}
"""What else plotly calls a type: of axes, shapes and error bars."""
LARGEST_PAGE_BYTES = 1_500_000


class Scripts(HTMLParser):
    """The attributes of a page's scripts."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        if name == "script":
            self.found.append(dict(attributes))


def test_every_kind_of_trace_that_figures_use_is_in_the_script():
    written = "".join(path.read_text(encoding="utf-8") for path in REPORT.rglob("*.py"))
    used = set(re.findall(r'"type": "(\w+)"', written)) - AXES_AND_SHAPES
    assert used >= {"scatter", "bar", "box", "sankey"}
    assert set(re.findall(r'moduleType:"trace",name:"(\w+)"', drawing.source())) == used


def test_a_runs_page_is_one_file_of_less_than_a_megabyte_and_a_half(write_run):
    page = write_report(write_run(rounds=600))
    assert page.stat().st_size < LARGEST_PAGE_BYTES
    assert drawing.source() in page.read_text(encoding="utf-8")


def test_numbers_on_a_page_have_the_digits_that_anybody_could_see():
    view = View("v", [{"type": "scatter", "x": [1 / 3, 123456789.25, None], "name": "1.23456789"}])
    (trace,) = Figure(id="f", title="", views=(view,), caption="", alt="").spec()["views"][0]["traces"]
    assert trace == {"type": "scatter", "x": [0.3333333, 123456800.0, None], "name": "1.23456789"}


def test_runs_below_a_folder_that_keeps_the_script_link_it(write_run, tmp_path):
    drawing.share(tmp_path)
    page = write_report(write_run())
    text = page.read_text(encoding="utf-8")
    assert [one["src"] for one in Scripts(text).found if "src" in one] == [f"../{drawing.name()}"]
    assert (page.parent / f"../{drawing.name()}").read_text(encoding="utf-8") == drawing.source()
    assert page.stat().st_size < 200_000
    assert drawing.name() in re.search(r'<p class="card warn" id="missing" hidden>.*?</p>', text)[0]


def test_a_page_written_elsewhere_holds_its_own_script(write_run, tmp_path):
    drawing.share(tmp_path)
    away = write_report(write_run(), tmp_path / "one" / "two" / "page.html").read_text(encoding="utf-8")
    assert not [one for one in Scripts(away).found if "src" in one]
    assert 'id="missing"' not in away
    assert "file:" not in re.search(r'Content-Security-Policy" content="([^"]*)"', away)[1]


def test_the_script_is_of_the_locked_version_and_brings_every_licence():
    locked = json.loads((ROOT / "packaging/plotly/package-lock.json").read_text(encoding="utf-8"))["packages"]
    version = locked["node_modules/plotly.js"]["version"]
    assert drawing.source().startswith(f"/* plotly.js {version}, ")
    licences = (REPORT / "assets" / "plotly-licences.txt").read_text(encoding="utf-8")
    for package in ("plotly.js", "@plotly/d3", "culori", "d3-format"):
        title = rf"^{re.escape(package)} \S+ \((MIT|BSD-3-Clause)\)\n=+\n\n"
        found = re.search(title, licences, re.MULTILINE)
        assert found, package
        assert "copyright" in licences[found.end() : found.end() + 200].lower()
