"""Notebooks as pages: text as it is, code in fences, and below it what it printed when it was last run.

A hook of mkdocs. Beside the page, the notebook itself can be taken away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    from mkdocs.structure.files import File

    for file in [one for one in files if one.src_uri.endswith(".ipynb")]:
        path = Path(file.abs_src_path or "")
        files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=page(path)))
    return files


def page(notebook: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    link = f'<a href="{notebook.name}" download>This page as a notebook</a>\n'
    first, *rest = [part for cell in cells for part in _parts(cell)]
    return "\n\n".join([first, link, *rest]) + "\n"


def _parts(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    printed = "".join(printed_by(cell))
    return [f"```python\n{source}\n```", *([f"```text\n{printed.rstrip()}\n```"] if printed else [])]


def printed_by(cell: dict[str, Any]) -> list[str]:
    """Return the text that a code cell printed, and the one of its last value."""
    told = [output.get("text") or output.get("data", {}).get("text/plain", []) for output in cell["outputs"]]
    return ["".join(lines) for lines in told]
