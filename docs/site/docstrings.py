"""Where a page says `<!-- docstrings of MODULE -->`, the site shows the docstrings of the module's public names.

A hook of mkdocs. Where the repository itself is read, the comment is not seen.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"^<!-- docstrings of ([\w.]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put in a directive of mkdocstrings for every name."""
    return PLACE.sub(lambda match: "\n\n".join(f"::: {match[1]}.{name}" for name in public(match[1])), markdown)


def public(module: str) -> list[str]:
    """Return the names in `__all__` of a module, read from its file: nothing is imported for a site."""
    file = ROOT / f"{module.replace('.', '/')}.py"
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{file}: has no __all__")
