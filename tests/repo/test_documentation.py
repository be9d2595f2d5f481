"""The documentation is true: commands and options exist and are described, links lead somewhere, pages are current."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from fedlite.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("device_profiles/*.md")])
TO_BE_WRITTEN = {"fedlite/wire/formats/fp24.py"}
"""Files that a page asks its reader to write."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def commands():
    """Return every command as (words, click command)."""
    root = typer.main.get_command(app)
    found = []
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found += [((name, child), inner[child]) for child in inner] if inner else [((name,), command)]
    return found


def said_as_code(page):
    """Return every fedlite command line of a page that stands in a fence or a code span."""
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(FENCE.findall(text)) + "\n".join(re.findall(r"^    .*$", text, re.MULTILINE))
    spans = [span[8:] for span in re.findall(r"`(fedlite [^`]+)`", FENCE.sub("", text).replace("\n", " "))]
    lines = re.findall(r"^\s*(?:\$ )?fedlite ([^#\n]+)", fenced.replace("\\\n", " "), re.MULTILINE)
    return [line for line in [*spans, *lines] if line.split()[0].isalpha() and not line.split()[0].isupper()]


def page_id(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_is_in_the_reference(words):
    assert f"`fedlite {' '.join(words)}`" in (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "command"), commands(), ids=lambda value: "" if hasattr(value, "help") else " ".join(value)
)
def test_every_command_and_option_says_what_it_does(words, command):
    assert command.help
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_answers_programs(words):
    if words == ("cite",):
        return
    command = dict(commands())[words]
    assert any("--json" in one.opts for one in command.params)


@pytest.mark.parametrize("script", ["generate_reference.py", "generate_cli.py", "generate_techniques.py"])
def test_generated_pages_are_current(script):
    made = subprocess.run(
        [sys.executable, f"docs/{script}", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


UNSAID = {"rollout": "rehearse"}
"""Groups that take a file at once -> the command that this stands for."""


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in LINK.findall(text):
        place, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page if not place else (page.parent / place).resolve()
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page):
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_and_option_in_a_page_exists(page):
    known = dict(commands())
    for line in said_as_code(page):
        words = line.split()
        path = next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in known), None)
        if path is None and len(words) > 1 and words[0] in UNSAID:
            path = (words[0], UNSAID[words[0]])
        is_group = any(words[0] == path[0] for path in known if len(path) == 2) and len(words) == 1
        assert path or is_group, f"fedlite {line}: there is no such command"
        if path:
            options = {name for one in known[path].params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
            used = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", line))
            assert used <= options, f"fedlite {line}: there is no {', '.join(sorted(used - options))}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_shipped_file_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    named = set(
        re.findall(r"(?<![\w/.-])((?:scenarios|device_profiles|benchmarks|docs|fedlite|tests)/[\w./-]+\.\w+)", text)
    )
    assert [name for name in sorted(named - TO_BE_WRITTEN) if not (ROOT / name).exists()] == []


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"[`$ ]make ([a-z-]+)`?", page.read_text(encoding="utf-8"))}
    assert {"demo", "test", "check"} <= targets
    assert {name for name in named if f"`make {name}" in "".join(p.read_text() for p in PAGES)} <= targets


@pytest.mark.parametrize("script", sorted(ROOT.glob("docs/examples/*.py")), ids=lambda path: path.stem)
def test_every_example_prints_what_its_page_shows(script):
    made = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout == script.with_suffix(".out").read_text(encoding="utf-8")
