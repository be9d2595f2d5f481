"""The shell of every page: one file, no network, readable without scripts.

plotly.js is inlined once, or linked where a study keeps it for the pages of all of its runs. A content security policy
in the page itself forbids every connection and every script but the inlined ones, which it names by their hashes; a
linked one is a file beside the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError
from fedlite.report import drawing
from fedlite.report.figure import DARK, LIGHT, Figure, TextTable
from fedlite.report.markup import Child, Safe, data_script, plain, safe_join, script, source_hash, tag
from fedlite.report.sharing import packed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SIGNATURE: Final = " · fedlite"
"""At the end of every page's title: by this a page is known."""
_HEAD_BYTES: Final = 1 << 16
"""The title is among the first of these."""


@dataclass(frozen=True)
class Section:
    """One chapter of a page: heading, a sentence under it, and blocks (figures, tables, HTML) in order."""

    id: str
    heading: str
    lead: Child
    blocks: Sequence[Figure | TextTable | Safe | None]

    def present(self) -> list[Figure | TextTable | Safe]:
        """Return the blocks that exist; figures without data are None."""
        return [block for block in self.blocks if block is not None]


@dataclass(frozen=True)
class Tile:
    """One key number."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """Everything that is written on one page."""

    title: str
    kind: str
    answer: Safe
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    remark: Safe = field(default_factory=lambda: Safe(""))


def figures_of(page: Page) -> dict[str, Figure]:
    """Return the figures of a page by their ids."""
    blocks = (block for section in page.sections for block in section.present())
    return {block.id: block for block in blocks if isinstance(block, Figure)}


def refuse_foreign(path: Path) -> None:
    """Refuse to write a page over anything but a page.

    Raises
    ------
    FedliteError
        If there is something else, a scenario say.
    """
    if path.is_dir():
        raise FedliteError(f"--out: got {path}, which is a folder, expected the name of a page; add 'page.html' to it")
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if f"{_SIGNATURE}</title>".encode() in file.read(_HEAD_BYTES):
                return
    raise FedliteError(
        f"{path}: got something that fedlite has not written as a page, expected a new name or a page; name another"
        " file, or remove this one"
    )


def write_page(page: Page, path: Path) -> Path:
    """Write the page as one HTML file and return its path. The same page gives the same bytes.

    Raises
    ------
    FedliteError
        If something else than a page is there.
    """
    refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one step, so that a full disk leaves no half a page that passes for a whole one.
    part = path.with_name(f".{path.name}.part")
    part.write_text(render(page, drawing.link_from(path)), encoding="utf-8")
    part.replace(path)
    return path


def render(page: Page, linked: str | None = None) -> str:
    """Return the page as HTML; `linked` is the address of the script for figures that it shares with other pages."""
    sections = [section for section in page.sections if section.present()]
    figures = figures_of(page)
    linked = linked if figures else None
    own = [asset("page.js")] if linked else [drawing.source(), asset("page.js")] if figures else []
    body = (
        tag("a", "Skip to the report", class_="skip", href="#report"),
        _top(page),
        drawing.missing() if linked else None,
        _contents(sections),
        tag("main", *(_section(section) for section in sections), id="report"),
        tag("footer", "Written by fedlite. This page ", _made_of(linked), " and makes no connection to anything."),
        data_script("figures", packed({name: figure.spec() for name, figure in figures.items()})),
        data_script("themes", {"light": LIGHT, "dark": DARK}),
        tag("script", src=linked) if linked else None,
        *(script(source) for source in own),
    )
    head = _head(page.title, own, linked)
    return "<!doctype html>\n" + tag("html", tag("head", *head), "\n", tag("body", *body), lang="en") + "\n"


def _made_of(linked: str | None) -> str:
    return f"takes the script for its figures from {linked}" if linked else "is one file"


def _head(title: str, scripts: list[str], linked: str | None) -> list[Safe]:
    hashes = [source_hash(source) for source in scripts]
    # A browser checks no hash of a file that it opens from disk.
    admitted = " ".join([*hashes, *(["'self'", "file:"] if linked else [])]) or "'none'"
    # plotly sets styles of single elements, so styles may be inline; images are those it makes from a figure itself.
    policy = (
        f"default-src 'none'; script-src {admitted}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}{_SIGNATURE}"),
        Safe(f"<style>{asset('page.css')}</style>"),
    ]


def _top(page: Page) -> Safe:
    tiles = (
        tag(
            "div",
            tag("dt", tile.name),
            tag(
                "dd", tag("div", tile.value, class_="big"), tag("div", tile.note, class_="note") if tile.note else None
            ),
            class_="tile",
        )
        for tile in page.tiles
    )
    return tag(
        "header",
        tag("p", page.kind, class_="kind"),
        tag("h1", page.title),
        tag("p", page.answer, class_="answer"),
        tag("p", page.remark, class_="lead") if page.remark else None,
        tag("dl", *tiles, class_="tiles") if page.tiles else None,
        class_="top",
    )


def _contents(sections: Sequence[Section]) -> Safe:
    links = (tag("li", tag("a", section.heading, href=f"#{section.id}")) for section in sections)
    return tag("nav", tag("ul", *links), class_="contents", aria_label="Contents")


def _section(section: Section) -> Safe:
    blocks = safe_join(_block(block) for block in section.present())
    lead = tag("p", section.lead, class_="lead") if section.lead else None
    heading = tag("h2", section.heading, id=f"{section.id}-heading")
    return tag("section", heading, lead, blocks, id=section.id, aria_labelledby=f"{section.id}-heading")


def _block(block: Figure | TextTable | Safe) -> Safe:
    if isinstance(block, Figure):
        return figure_block(block)
    if isinstance(block, TextTable):
        return tag("div", table(block), class_="card")
    return block


def figure_block(figure: Figure) -> Safe:
    """Return a figure with its view switch, caption and, folded, its table."""
    plot = tag("div", id=f"plot-{figure.id}", class_="plot", data_figure=figure.id, role="img", aria_label=figure.alt)
    fallback = tag("noscript", tag("p", "The figure needs scripts; its numbers are in the table below."))
    folded = figure.table and tag("details", tag("summary", "The numbers as a table"), table(figure.table))
    bar = tag("div", tag("h3", figure.title), _views(figure), class_="bar")
    return tag("figure", bar, plot, fallback, tag("figcaption", figure.caption), folded or None)


def _views(figure: Figure) -> Safe | None:
    if len(figure.views) == 1:
        return None
    choices = (
        tag(
            "label",
            tag(
                "input",
                type="radio",
                name=f"view-{figure.id}",
                value=str(index),
                checked=index == 0,
                autocomplete="off",
            ),
            tag("span", view.label),
        )
        for index, view in enumerate(figure.views)
    )
    return tag("fieldset", tag("legend", f"What {figure.title} shows"), *choices, class_="views")


def table(content: TextTable, *, prose: bool = False) -> Safe:
    """Return a table; on narrow screens each of its rows becomes a short list instead.

    A `prose` table has sentences in it. What is narrow or very long stays a table everywhere, in a region that scrolls
    sideways if it has to.
    """
    stacked = prose or (len(content.head) > _NARROW and len(content.rows) <= _LONG)

    def style(column: int) -> str | None:
        return "n" if column in content.numeric else None

    def told(column: int) -> str | None:
        # The heading beside the value, where no row of headings stands above: a name in the first column needs none.
        return plain(content.head[column]) if stacked and (column or column in content.numeric) else None

    head = tag("tr", *(tag("th", text, scope="col", class_=style(i)) for i, text in enumerate(content.head)))
    rows = (
        tag(
            "tr",
            *(
                tag("th", cell, scope="row", class_=style(i), data_head=told(i))
                if i == 0
                else tag("td", cell, class_=style(i), data_head=told(i))
                for i, cell in enumerate(row)
            ),
        )
        for row in content.rows
    )
    caption = tag("caption", tag("span", content.caption))
    kinds = " ".join(name for name, is_so in (("prose", prose), ("stack", stacked)) if is_so)
    inner = tag("table", caption, tag("thead", head), tag("tbody", *rows), class_=kinds or None)
    return tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=content.caption)


_NARROW: Final = 3
"""So many columns fit a phone."""
_LONG: Final = 60
"""Rows; as many short lists would hide what comes after them."""


@cache
def asset(name: str) -> str:
    """Return one of the page's own files."""
    return (files("fedlite.report") / "assets" / name).read_text(encoding="utf-8")
