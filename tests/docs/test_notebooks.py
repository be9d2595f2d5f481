"""Every cell of a notebook runs, and gives what stands below it.

Without Jupyter: a cell is plain Python, and its last expression is its value.
"""

import ast
import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))


def load(path):
    spec = importlib.util.spec_from_file_location(f"tests_docs_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


desk, notebooks = load(Path(__file__).with_name("desk.py")), load(ROOT / "docs/site/notebooks.py")


def run(source, names, where):
    """Return what a cell prints, and its last value as text."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, where, "exec"), names)  # noqa: S102 - the notebook is our own
        value = eval(compile(ast.Expression(last.value), where, "eval"), names) if last else None  # noqa: S307
    return printed.getvalue() + ("" if value is None else repr(value))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_gives_what_stands_below_it(notebook):
    names = {"__name__": "notebook"}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            made = run("".join(cell["source"]), names, f"{notebook.name}, cell {number}")
            shown = "".join(notebooks.printed_by(cell))
            assert desk.agrees(made, shown), f"{notebook.name}, cell {number} gives\n{made}\nand shows\n{shown}"


def test_there_is_one():
    assert NOTEBOOKS
