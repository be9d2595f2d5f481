"""Say what pages of the built site would fetch from another host: nothing, or this exits with 1.

python docs/site/check.py build/site
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

LOADS = {
    "audio": ("src",),
    "embed": ("src",),
    "form": ("action",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
"""What a browser fetches by itself: tag -> attributes."""
LINKED = {"dns-prefetch", "icon", "manifest", "modulepreload", "preconnect", "prefetch", "preload", "stylesheet"}
"""Kinds of <link> that a browser acts on by itself."""
IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")
IN_SCRIPT = re.compile(r"""["'`]((?:https?:)?//[\w.-]+\.[a-z]{2,}/[^"'`]*)""")
NEVER_CALLED = re.compile(
    r"https://unpkg\.com/(mermaid@\d+/dist/mermaid\.min\.js|resize-observer-polyfill)"  # no diagrams, no old browsers
    r"|https://(api\.github\.com|gitlab\.com)/.*"  # no repository is named in mkdocs.yml
)
"""Addresses in the theme's script that it only takes for what this site has not got."""


class Page(HTMLParser):
    """The addresses that one page makes a browser fetch, and whether it forbids those of other hosts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.guarded = False
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        self.inside = tag
        told = {name: value or "" for name, value in attrs}
        self.guarded |= tag == "meta" and told.get("http-equiv") == "Content-Security-Policy"
        self.fetched += [
            part.split()[0] for name in LOADS.get(tag, ()) for part in told.get(name, "").split(",") if part.strip()
        ]
        self.fetched += IN_STYLE.findall(told.get("style", ""))
        if tag == "link" and LINKED & set(told.get("rel", "").lower().split()):
            self.fetched.append(told.get("href", ""))
        if tag == "meta" and told.get("http-equiv", "").lower() == "refresh":
            self.fetched += told.get("content", "").partition("=")[2:]

    def handle_data(self, data: str) -> None:
        """Note what styles and scripts of the page load."""
        if self.inside == "style":
            self.fetched += IN_STYLE.findall(data)
        if self.inside == "script":
            self.fetched += IN_SCRIPT.findall(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave a style or a script."""
        self.inside = ""


def fetched_elsewhere(file: Path) -> list[str]:
    """Return the addresses of other hosts that a file of the site makes a browser fetch."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".html":
        page = Page()
        page.feed(text)
        found = page.fetched + ([] if page.guarded else ["anything: the page has no Content-Security-Policy"])
        return [one for one in found if one.startswith("anything") or is_elsewhere(one)]
    if file.suffix in {".css", ".svg"}:
        return [one for one in IN_STYLE.findall(text) if is_elsewhere(one)]
    return [one for one in IN_SCRIPT.findall(text) if not NEVER_CALLED.fullmatch(one)]


def is_elsewhere(address: str) -> bool:
    """Return whether an address names a host."""
    parts = urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ws", "wss", "ftp"}


def main(site: Path) -> int:
    """Check every file of a site."""
    files = [file for kind in ("html", "css", "js", "svg") for file in sorted(site.rglob(f"*.{kind}"))]
    # Pages of runs are single files with plotly's whole script; tests/browser holds that they make no request.
    files = [file for file in files if file.parent != site / "live"]
    found = [f"{file}: {one[:200]}" for file in files for one in fetched_elsewhere(file)]
    sys.stdout.write(
        "".join(f"{line}\n" for line in found) or f"{len(files)} files of {site} fetch nothing from elsewhere\n"
    )
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
