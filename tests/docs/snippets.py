"""What a page shows in fences: commands, what they print, Python, YAML, and which file a fence is said to be."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]))
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w.-]+\.(?:yaml|json|py|csv|toml))`[^`]*:$")
SAID = re.compile(r"\b(?:prints?|ends with|says)\b[^.]*$")
"""How the line between a snippet and what it prints ends."""


@dataclass(frozen=True)
class Command:
    """One line of a shell, and what the page says it prints (None: nothing is said)."""

    line: int
    text: str
    printed: str | None = None

    @property
    def words(self) -> list[str]:
        """Its words, without what it puts into the environment."""
        return shlex.split(self.text, comments=True)[len(self.environment) :]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that stand before it."""
        found = {}
        for word in shlex.split(self.text, comments=True):
            name, equals, value = word.partition("=")
            if not equals or not name.isupper():
                break
            found[name] = value
        return found


@dataclass(frozen=True)
class Snippet:
    """One fence: where, what kind, its text, the file that it is said to be, and what follows it as its output."""

    page: str
    line: int
    kind: str
    text: str
    file: str | None = None
    printed: str | None = None

    @property
    def commands(self) -> list[Command]:
        """The commands of a `sh` or `console` fence."""
        if self.kind == "sh":
            return [*_sh(self.text, self.line)]
        return [*_console(self.text, self.line)] if self.kind == "console" else []


def snippets(page: Path) -> list[Snippet]:
    """Return the fences of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found, fences = [], list(FENCE.finditer(text))
    for at, fence in enumerate(fences):
        before = text[fences[at - 1].end() if at else 0 : fence.start()].rstrip().rsplit("\n\n", 1)[-1]
        file = FILE.search(before.replace("\n", " "))
        following = fences[at + 1] if at + 1 < len(fences) else None
        between = text[fence.end() : following.start()].strip() if following else "."
        shown = following is not None and following["kind"] == "text" and (not between or bool(SAID.fullmatch(between)))
        body = re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, fence.start()) + 2
        found.append(
            Snippet(
                str(page.relative_to(ROOT)),
                line,
                fence["kind"],
                body,
                file and file[1],
                following["text"] if shown else None,
            )
        )
    return found


def _sh(text: str, line: int):
    """Yield the commands of a fence without output; a line may be continued."""
    begun = ""
    for number, part in enumerate(text.splitlines()):
        begun += part.removesuffix("\\")
        if not part.endswith("\\"):
            if begun.strip() and not begun.lstrip().startswith("#"):
                yield Command(line + number, begun.strip())
            begun = ""


def _console(text: str, line: int):
    """Yield the commands of a fence with prompts, each with the lines up to the next one."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    number = line + parts[0].count("\n")
    for part in parts[1:]:
        command, _, printed = part.partition("\n")
        yield Command(number, command.strip(), printed if printed.strip() else None)
        number += part.count("\n")
