"""Write docs/reference/techniques.md from the catalogue: every technique with its options, sources and what it saves.

python docs/generate_techniques.py            writes the page
python docs/generate_techniques.py --check    exits with 1 if the page is not what the catalogue says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fedlite.techniques import TECHNIQUES
from fedlite.techniques.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.techniques.technique import Technique

PAGE = Path(__file__).parent / "reference" / "techniques.md"

HEAD = """\
# Techniques

<!-- Written by docs/generate_techniques.py from the catalogue; change it, then run that again. -->

`fedlite compress MODEL --technique NAME [--set option=value] --device D --dataset D` shows what one of these makes of a
model; a scenario's plan names those that are made of parts: `plan: {techniques: [static-int8]}`. *Saves* is what the
example shows, on its device: of files on flash (stored), on the way (wire), in time (compute) or memory.
[Compression](../concepts/compression.md) explains the parts.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_families(), *_rows()]).rstrip() + "\n"


def _families() -> Iterator[str]:
    for family in dict.fromkeys(one.family for one in TECHNIQUES.values()):
        yield f"## {family[:1].upper()}{family[1:]}\n"
        for one in TECHNIQUES.values():
            if one.family == family:
                yield from _technique(one)


def _technique(one: Technique) -> Iterator[str]:
    yield f"### `{one.name}`\n"
    yield f"{one.does}\n"
    yield f"* Saves: {', '.join(one.saves) or 'nothing by itself'}; where: {', '.join(one.where)}"
    if not one.in_plans:
        yield "* Not in a scenario's plan: `fedlite compress` alone has it under this name"
    yield f"* Options: {', '.join(f'`{name}={value}`' for name, value in one.options.items()) or 'none'}"
    yield f"* Sources: {', '.join(f'`{key}`' for key in one.cites)}"
    yield f"* Covers: {'; '.join(f'{row} ({ROWS[row]})' for row in one.rows)}"
    yield f"* Example: `{one.command}`\n"


def _rows() -> Iterator[str]:
    yield "## By kind\n"
    yield "| | kind | techniques |"
    yield "|---|---|---|"
    for row, title in ROWS.items():
        names = ", ".join(f"`{one.name}`" for one in TECHNIQUES.values() if row in one.rows)
        yield f"| {row} | {title} | {names or 'not there yet'} |"


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if the page is stale")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(f"{PAGE}: the catalogue says something else; run 'python docs/generate_techniques.py'\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
