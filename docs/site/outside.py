"""Pages link to files outside of docs/, as they should where a repository is read; the site gets a page of each.

A hook of mkdocs. What a page links to is put under `repository/`, at its own path: a page as a page, whose own links
are followed in turn, anything that is text as a page with the text in a fence, the rest (pictures) as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
UNDER = "repository"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^(?: *```.*?^ *```|    .*?)$", re.MULTILINE | re.DOTALL)
SHOWN = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
    ".toml": "toml",
    ".json": "json",
    ".txt": "text",
    ".sh": "sh",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page of every file that pages link to, and those of the pages that these link to."""
    todo = [Path(page.abs_src_path) for page in files.documentation_pages() if page.abs_src_path]
    seen: set[Path] = set()
    while todo:
        for target in _outside(todo.pop()):
            if target not in seen:
                seen.add(target)
                files.append(_page(target, config))
                todo += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links that leave docs/ into links to the pages made of what they lead to."""
    at = page.file.src_uri
    source = ROOT / at.removeprefix(f"{UNDER}/") if at.startswith(f"{UNDER}/") else DOCS / at
    return _relinked(markdown, source, at)


def _relinked(markdown: str, source: Path, at: str) -> str:
    folder = Path(at).parent

    def mended(match: re.Match[str]) -> str:
        place, mark, anchor = match[2].partition("#")
        target = _file(source, place)
        if target is None:
            return match[0]
        return f"{match[1]}{os.path.relpath(_uri(target), folder)}{mark}{anchor}{match[3]}"

    return _outside_of_fences(markdown, lambda text: LINK.sub(mended, text))


def _outside(page: Path) -> Iterator[Path]:
    """Yield the files outside of docs/ that a page links to."""
    for match in LINK.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = _file(page, match[2].partition("#")[0])
        if target and not target.is_relative_to(DOCS):
            yield target


def _file(source: Path, place: str) -> Path | None:
    """Return the file of the repository that a link leads to; None if there is none or it is elsewhere."""
    if not place or "://" in place or place.startswith("mailto:"):
        return None
    target = (source.parent / place).resolve()
    target = target / "README.md" if target.is_dir() else target
    return target if target.is_file() and target.is_relative_to(ROOT) else None


def _uri(target: Path) -> str:
    """Return where a file of the repository is among the sources of the site."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix().replace(".ipynb", ".md")  # the page of a notebook
    path = f"{UNDER}/{target.relative_to(ROOT).as_posix()}"
    return f"{path}.md" if target.suffix in SHOWN else path


def _page(target: Path, config: MkDocsConfig) -> File:
    from mkdocs.structure.files import File

    uri = _uri(target)
    if target.suffix not in SHOWN:
        return File.generated(config, uri, content=target.read_bytes())
    text = target.read_text(encoding="utf-8")
    name = target.relative_to(ROOT).as_posix()
    return File.generated(config, uri, content=f"# `{name}`\n\n````{SHOWN[target.suffix]}\n{text.rstrip()}\n````\n")


def _outside_of_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Return a page with a change made to everything that is not code."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
