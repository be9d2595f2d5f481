"""The script that draws figures: in the page itself, or one file that the pages of a study's runs share.

It is a part of plotly.js with the kinds of traces that the pages use; `make plotly` makes it (packaging/plotly).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from fedlite.errors import unwritten
from fedlite.report.markup import Safe, tag

if TYPE_CHECKING:
    from pathlib import Path


@cache
def source() -> str:
    """Return the script."""
    return (files("fedlite.report") / "assets" / "plotly.js").read_text(encoding="utf-8")


@cache
def name() -> str:
    """Return what the script is called as a file: after what is in it, so that no other version takes its place."""
    return f"plotly-{hashlib.sha256(source().encode()).hexdigest()[:12]}.js"


def share(folder: Path) -> None:
    """Put the script into a folder; pages in the folders right below it link it from then on."""
    path = folder / name()
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(source(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise unwritten(path, error) from error


def link_from(page: Path) -> str | None:
    """Return the address of the script that a page shares with others; None if it has to hold its own."""
    return f"../{name()}" if (page.absolute().parent.parent / name()).is_file() else None


def missing() -> Safe:
    """Return what a page says that was taken away from the script it links; hidden until its own script shows it."""
    words = (
        "The figures are not drawn: the script for them, ",
        tag("code", name()),
        ", belongs into the folder above that of this page, where a study keeps it for all of its runs. ",
        "Put the page back, or write it again as one file: 'fedlite report RUN --out page.html'. ",
        "The numbers are in the tables.",
    )
    return tag("p", *words, class_="card warn", id="missing", hidden=True)
