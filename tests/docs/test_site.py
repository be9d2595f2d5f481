"""The site: what leaves docs/ leads to a page, docstrings are those of the public names, nothing is fetched elsewhere.

The site itself is built in continuous integration (`make site`); here are the parts that it is made with.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import fedlite.api
from fedlite.scenario.strict_yaml import read

ROOT = Path(__file__).parents[2]
GUARD = "<meta http-equiv=Content-Security-Policy content=\"default-src 'self'\">"


def tool(name):
    """Return a script of docs/site as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs/site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check, outside, docstrings, notebooks = map(tool, ("check", "outside", "docstrings", "notebooks"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<script src="//cdn.example/x.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.example">'),
        ("a.html", '<img src="https://badges.example/b.svg">'),
        ("a.html", '<img srcset="a.png 1x, https://badges.example/b.png 2x">'),
        ("a.html", '<div style="background: url(https://x.example/y.png)"></div>'),
        ("a.html", "<style>@import 'https://fonts.example/css';</style>"),
        ("a.html", "<script>fetch('https://x.example/collect')</script>"),
        ("a.html", '<meta http-equiv="refresh" content="0; url=https://x.example/">'),
        ("a.css", "@font-face { src: url(//fonts.example/a.woff2) }"),
        ("a.svg", "<style>a { fill: url('https://x.example/p') }</style>"),
        ("a.js", 'load("https://cdn.example/x.js")'),
    ],
)
def test_what_is_fetched_from_elsewhere_is_found(tmp_path, name, text):
    (tmp_path / name).write_text(GUARD + text)
    assert len(check.fetched_elsewhere(tmp_path / name)) == 1
    assert check.main(tmp_path) == 1


def test_links_that_a_reader_follows_and_what_is_near_are_fine(tmp_path):
    near = '<a href="https://flower.ai">F</a><img src="../a.png"><img src="data:image/png;base64,AA">'
    (tmp_path / "a.html").write_text(GUARD + near)
    assert check.main(tmp_path) == 0
    (tmp_path / "b.html").write_text(near)
    assert check.fetched_elsewhere(tmp_path / "b.html") == ["anything: the page has no Content-Security-Policy"]
    assert check.main(tmp_path / "nowhere") == 1


def test_links_that_leave_docs_lead_to_pages_of_the_site():
    at = "how-to/ray.md"
    source = ROOT / "docs" / at
    page = "[a](../../SECURITY.md#x) [b](sweeps.md) [c](../../scenarios/quickstart.yaml) [d](https://flower.ai)"
    assert outside._relinked(page, source, at) == (
        "[a](../repository/SECURITY.md#x) [b](sweeps.md) [c](../repository/scenarios/quickstart.yaml.md) [d](https://flower.ai)"
    )
    fenced = "```text\n[a](../../SECURITY.md)\n```\n"
    assert outside._relinked(fenced, source, at) == fenced


def test_a_page_from_outside_links_back_and_to_its_neighbours():
    at = "repository/device_profiles/README.md"
    source = ROOT / "device_profiles/README.md"
    page = "[a](../docs/device-model.md) [b](../SECURITY.md)"
    assert outside._relinked(page, source, at) == "[a](../../device-model.md) [b](../SECURITY.md)"


def test_the_reference_shows_the_docstring_of_every_public_name():
    shown = docstrings.on_page_markdown((ROOT / "docs/reference/python-api.md").read_text(encoding="utf-8"))
    assert set(re.findall(r"^::: fedlite\.api\.(\w+)$", shown, re.MULTILINE)) == set(fedlite.api.__all__)


def test_every_page_is_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^ *- (?:[^:\n]+: )?([\w/-]+\.md)$", text[text.index("\nnav:") :], re.MULTILINE)
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    pages |= {str(page.relative_to(ROOT / "docs").with_suffix(".md")) for page in ROOT.glob("docs/**/*.ipynb")}
    assert len(set(named)) == len(named)
    assert {page for page in pages if not page.startswith("decisions/0")} == set(named)


def test_no_font_analytics_or_address_is_asked_for():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = read(re.sub(r"!!python\S+ (\{.*\})", "lower", text), "mkdocs.yml").value
    assert settings["strict"] is True
    assert settings["theme"]["font"] is False
    assert "analytics" not in settings["extra"]
    assert "http" not in text


def test_a_notebook_becomes_a_page(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {
            "cell_type": "code",
            "source": ["print(1)\n", "2"],
            "outputs": [{"text": ["1\n"]}, {"data": {"text/plain": ["2"]}}],
        },
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert notebooks.page(tmp_path / "a.ipynb") == (
        '# Title\nwords\n\n<a href="a.ipynb" download>This page as a notebook</a>\n\n\n'
        "```python\nprint(1)\n2\n```\n\n```text\n1\n2\n```\n"
    )


LINK = re.compile(r"\]\(([^)\s#]+)")


def linked(page):
    """Return the files that a page links to."""
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    return {(page.parent / target).resolve() for target in targets}


def test_every_page_is_at_most_three_clicks_from_the_readme():
    seen, last = set(), {ROOT / "README.md"}
    for _ in range(3):
        last = {target for page in last for target in linked(page) if target.suffix == ".md" and target.exists()} - seen
        seen |= last
    assert {page for page in ROOT.glob("docs/**/*.md") if page not in seen} == set()


def test_every_page_but_decisions_is_the_answer_to_a_question():
    answers = linked(ROOT / "docs/questions.md")
    pages = {page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "decisions"}
    assert {page.name for page in pages - answers} == {"index.md", "questions.md"}
