"""The page of a run: right numbers, whole in every awkward case, closed against what comes from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from fedlite.fleet.outcomes import Outcome
from fedlite.report import tables
from fedlite.report.figure import MOST_POINTS, Figure
from fedlite.report.figures import job_energy
from fedlite.report.page import Section
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page, write_report
from fedlite.units import show
from tests.unit.report.drawn import figures_of

EVIL = "</script><img src=x onerror=alert(1)>"
EVIL_CLASS = (
    "<b>x</b>%{y}</script><script>alert(2)</script>",
    "phone-low",
    "<i>full</i>",
    "lte",
    8,
    16.0,
    21.0,
    66e3,
    10**9,
)
CASES = {
    "ordinary": {"rounds": 6},
    "never evaluated": {"evaluated": False},
    "all failed": {"all_failed": True},
    "one round": {"rounds": 1},
    "no energy": {"zero_energy": True},
    "no batteries": {"battery": False},
    "no client evaluation": {"fairness": False},
    "nobody was ever asked": {"nothing": True},
    "private": {"epsilon": {"epsilon": 8.3, "delta": 1e-5, "statement": "Protects one client's whole data."}},
    "hostile names": {"name": EVIL, "classes": [EVIL_CLASS]},
}


class Elements(HTMLParser):
    """What a browser would find: elements, attributes, text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.words, self._in_script = [], [], "", False
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))
        self._in_script = name == "script"

    def handle_endtag(self, _name):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts.append(data)
        else:
            self.words += data + " "


@pytest.fixture(params=CASES)
def page(request, write_run):
    """The text of the page of each case."""
    return write_report(write_run(**CASES[request.param])).read_text(encoding="utf-8")


def test_every_case_gives_a_whole_page(page):
    elements = Elements(page)
    names = [name for name, _ in elements.found]
    assert names.count("h1") == 1
    assert names.count("main") == 1
    assert names.count("script") == len(elements.scripts) == 4
    assert "nan" not in re.findall(r"\w+", elements.words.lower())
    assert "None" not in re.findall(r"\w+", elements.words)


def test_figures_hold_only_json_numbers_and_few_points(page):
    figures = figures_of(page)
    for spec in figures.values():
        for view in spec["views"]:
            assert sum(len(trace.get("x", [])) for trace in view["traces"]) <= MOST_POINTS


def test_every_figure_has_a_place_words_and_a_table(page):
    elements = Elements(page)
    plots = {a["data-figure"]: a for name, a in elements.found if (a.get("class") or "") == "plot"}
    assert set(plots) == set(figures_of(page))
    assert all(len(attributes["aria-label"]) > 20 for attributes in plots.values())
    captions = sum(name == "caption" for name, _ in elements.found)
    assert captions >= len(plots)


def test_the_page_admits_only_its_own_scripts_and_no_connection(page):
    elements = Elements(page)
    policy = next(a["content"] for name, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    admitted = set(re.findall(r"'sha256-([^']+)'", policy))
    running = elements.scripts[2:]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running} == admitted
    for name, attributes in elements.found:
        assert "src" not in attributes, name
        assert (attributes.get("href") or "#").startswith("#"), name


def test_hostile_names_stay_text(write_run):
    text = write_report(write_run(**CASES["hostile names"])).read_text(encoding="utf-8")
    elements = Elements(text)
    assert {name for name, _ in elements.found} & {"img", "b"} == set()
    assert not any(key.startswith("on") for _, attributes in elements.found for key in attributes)
    assert EVIL in elements.words
    # plotly reads a small HTML in labels and placeholders in hover templates.
    drawn = json.dumps(figures_of(text))
    assert "<b>" not in drawn
    assert "<i>" not in drawn


def test_the_page_answers_with_the_numbers_of_the_run(write_run):
    path = write_run(rounds=8)
    summary = json.loads((path / "summary.json").read_text())
    words = " ".join(Elements(write_report(path).read_text(encoding="utf-8")).words.split())
    assert f"{100 * summary['metrics']['accuracy']:.1f} % accuracy" in words
    assert show(summary["energy_j"], "energy") in words
    low, high = show(summary["energy_low_j"], "energy"), show(summary["energy_high_j"], "energy")
    assert f"({low} to {high})" in words
    assert summary["digest"] in words
    assert "3 of 23 devices cannot take part: stm32h7" in words


def test_the_terminal_says_why_a_class_cannot_take_part(write_run):
    from rich.console import Console

    from fedlite.report.console import summary_table

    path = write_run(rounds=8)
    (excluded,) = json.loads((path / "summary.json").read_text())["excluded"]
    console = Console(width=200)
    with console.capture() as told:
        console.print(summary_table(path))
    assert f"stm32h7 (3 devices): {excluded['reason']}" in told.get()


def test_every_outcome_is_told_with_its_advice(write_run):
    text = write_report(write_run(all_failed=True)).read_text(encoding="utf-8")
    assert "Training needs more memory than a job may take" in text
    assert "0 of 120 training jobs arrived in time." in " ".join(Elements(text).words.split())


def test_jobs_that_nobody_needed_are_told_from_late_ones_each_with_its_own_advice(write_run):
    path = write_run(rounds=30)
    rounds = read_run(path).rounds
    late, surplus = rounds["late"].sum(), rounds["surplus"].sum()
    assert 0 < surplus != late > 0
    text = write_report(path).read_text(encoding="utf-8")
    words = " ".join(Elements(text).words.split())
    assert f"{surplus} more came when nobody waited for them any more." in words
    assert f"{late} late, {surplus} not needed" in text
    assert Outcome.SURPLUS.advice in words
    assert Outcome.LATE.advice in words
    assert "over_select" in Outcome.SURPLUS.advice
    assert "deadline" not in Outcome.SURPLUS.advice
    assert "deadline" in Outcome.LATE.advice


def test_a_class_whose_jobs_were_all_for_nothing_is_named(write_run):
    path = write_run()
    assert "Nothing of" not in Elements(write_report(path).read_text(encoding="utf-8")).words
    fleet = pl.read_parquet(path / "fleet.parquet")
    mute = pl.col("profile") == "watch-w5"
    fleet.with_columns(pl.when(mute).then(0).otherwise(pl.col("arrived")).alias("arrived")).write_parquet(
        path / "fleet.parquet"
    )
    words = " ".join(Elements(write_report(path).read_text(encoding="utf-8")).words.split())
    assert "Nothing of watch-w5 was ever used." in words


def test_figures_have_no_legend_for_what_never_happened(write_run):
    run = read_run(write_run(rounds=30))
    every = {
        block.id: block for section in run_page(run).sections for block in section.blocks if isinstance(block, Figure)
    }
    few = run_page(read_run(write_run("failed", all_failed=True)))
    failed = {block.id: block for section in few.sections for block in section.blocks if isinstance(block, Figure)}
    for name in ("participation", "rounds"):
        assert [trace["name"] for trace in every[name].views[0].traces] == ["arrived", "late", "not needed", "lost"]
        assert [trace["name"] for trace in failed[name].views[0].traces] == ["arrived", "lost"]


def test_the_same_run_gives_the_same_bytes(write_run, tmp_path):
    path = write_run(rounds=2)
    first = write_report(path, tmp_path / "a.html").read_bytes()
    assert write_report(path, tmp_path / "b.html").read_bytes() == first


def test_plotly_accepts_every_view(write_run):
    """`Figure.plotly` validates every property name and value."""
    page = run_page(read_run(write_run(rounds=4)))
    found = [block for section in page.sections for block in section.present() if hasattr(block, "views")]
    assert len(found) == 8
    for figure in found:
        for index in range(len(figure.views)):
            assert figure.plotly(index).data


def test_a_long_run_is_thinned(write_run):
    text = write_report(write_run(rounds=1500, cohort=1)).read_text(encoding="utf-8")
    figures = figures_of(text)
    assert max(len(t.get("x", [])) for spec in figures.values() for v in spec["views"] for t in v["traces"]) <= 2000
    assert len(json.dumps(figures)) < 600_000


def test_privacy_is_a_chapter_only_with_a_guarantee(write_run):
    def headings(**changes):
        sections: list[Section] = run_page(read_run(write_run(str(len(changes)), **changes))).sections
        return [section.id for section in sections if section.present()]

    assert "privacy" not in headings()
    assert "privacy" in headings(epsilon=CASES["private"]["epsilon"])


def test_a_weak_or_missing_guarantee_is_called_so(write_run):
    def told(folder, epsilon):
        found = {"epsilon": epsilon, "delta": 1e-5, "statement": "As stated."}
        return write_report(write_run(folder, rounds=1, epsilon=found)).read_text(encoding="utf-8")

    assert "weak formal guarantee" in told("weak", 222.0)
    assert "weak formal guarantee" not in told("strong", 2.0)
    assert "No ε is stated" in told("none", None)


def test_jobs_on_chargers_are_said_to_use_no_battery(write_run):
    path = write_run(rounds=2)
    clients = pl.read_parquet(path / "clients.parquet").with_columns(pl.lit(0.0).alias("battery_j"))
    clients.write_parquet(path / "clients.parquet")
    text = write_report(path).read_text(encoding="utf-8")
    assert "no job drew from one" in text
    assert "battery" not in figures_of(text)


def test_the_scenario_may_choose_the_heading(write_run):
    path = write_run(rounds=1)
    with (path / "scenario.yaml").open("a") as file:
        file.write("report: {title: Wrist pilot}\n")
    assert "<h1>Wrist pilot</h1>" in write_report(path).read_text(encoding="utf-8")


def test_the_energy_tells_moving_bytes_from_staying_awake_after_it(write_run):
    path = write_run()
    run = read_run(path)
    classes = tables.by_class(run.clients, "profile")
    figure = job_energy.by_class(tables.spread(run.clients, pl.col("energy_j"), "profile"), classes, "profile")
    parts = {trace["name"]: sum(trace["x"]) for trace in figure.views[1].traces}
    assert list(parts) == ["computing", "moving bytes", "radio tails"]
    assert parts["moving bytes"] == pytest.approx(3 * parts["radio tails"])
    assert "into radios that stayed awake after it" in figure.caption
    assert figure.table.head[8] == "Radio tails"
    told = json.loads((path / "summary.json").read_text())
    told |= {"radio_j": told["energy_j"], "tail_j": 0.75 * told["energy_j"]}
    assert "is the tail of the radio" not in write_report(path).read_text(encoding="utf-8")
    (path / "summary.json").write_text(json.dumps(told))
    assert "of the energy is the tail of the radio" in write_report(path).read_text(encoding="utf-8")
