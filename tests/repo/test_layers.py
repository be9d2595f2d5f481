"""The layers hold, and the command line and the package are cheap to import."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "ray", "flwr")


def test_every_import_contract_is_kept():
    made = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "0 broken" in made.stdout


def test_no_two_modules_know_each_other():
    """Imports for type checkers count; only the package itself, whose lazy names stand for the face, is left out."""
    graph = grimp.build_graph("fedlite", cache_dir=None)
    known = {name: graph.find_modules_directly_imported_by(name) - {"fedlite"} for name in sorted(graph.modules)}
    list(TopologicalSorter(known).static_order())  # raises a CycleError that names the circle


@pytest.mark.parametrize(
    "code",
    [
        "import fedlite",
        "import fedlite.cli.main",
        "from fedlite.cli.main import app; app(['--help'], standalone_mode=False)",
    ],
)
def test_importing_the_package_and_asking_for_help_pull_in_nothing_heavy(code):
    code += f"; import sys; sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
