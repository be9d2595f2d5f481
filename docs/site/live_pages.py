"""Where `make gallery` has been run, the site holds the pages themselves, each a single file that needs no network.

A hook of mkdocs. `<!-- live NAME -->` in a page becomes a link to it, or stays unseen.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

MADE = Path(__file__).parents[2] / "runs" / "gallery"
PAGES = {
    "run": "run/report.html",
    "study": "study/study.html",
    "compare": "compare.html",
    "rollout": "rollout/report.html",
}
PLACE = re.compile(r"<!-- live (\w+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the pages that are there."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        if (MADE / page).is_file():
            files.append(File.generated(config, f"live/{name}.html", abs_src_path=str(MADE / page)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Link them."""
    return PLACE.sub(lambda match: link(match[1]), markdown)


def link(name: str) -> str:
    """Return the link to a live page; nothing if there is none. Raises KeyError for a name that is no page."""
    there = (MADE / PAGES[name]).is_file()
    return f'<a href="live/{name}.html">Open the page itself</a>' if there else ""
