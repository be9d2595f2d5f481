"""Switches off one capability of a client job at a time and shows which tests notice.

    python benchmarks/switches/run.py

Works on a copy of the tree; writes results.md beside this file. A switch whose text is not found any more ends the run:
the table then has to follow the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


def main() -> None:
    switches = tomllib.loads((HERE / "switches.toml").read_text(encoding="utf-8"))["switch"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(REPOSITORY, tree, ignore=shutil.ignore_patterns(".*", "runs", "__pycache__"))
        rows = [row(tree, switch) for switch in switches]
    missed = [name for name, _, first in rows if first is None]
    lines = ["# Capabilities switched off", "", "    python benchmarks/switches/run.py", ""]
    lines += [
        f"{len(rows) - len(missed)} of {len(rows)} noticed.",
        "",
        "| switched off | in | first test that fails |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | `{path}` | {f'`{first}`' if first else '**none**'} |" for name, path, first in rows]
    (HERE / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(bool(missed))


def row(tree: Path, switch: dict[str, str]) -> tuple[str, str, str | None]:
    """Return the name of a switch, its file, and the first test that fails without the capability."""
    path = tree / switch["file"]
    whole = path.read_text(encoding="utf-8")
    if whole.count(switch["on"]) != 1:
        sys.exit(
            f"{switch['name']}: {switch['file']} has {whole.count(switch['on'])} times {switch['on']!r}, expected 1"
        )
    path.write_text(whole.replace(switch["on"], switch["off"]), encoding="utf-8")
    try:
        first = failing(tree, switch["tests"].split())
    finally:
        path.write_text(whole, encoding="utf-8")
    print(f"{switch['name']}: {first or 'NOT NOTICED'}", flush=True)
    return switch["name"], switch["file"], first


def failing(tree: Path, tests: list[str]) -> str | None:
    """Return the first test that fails, None if all pass."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-m",
        "not ray",
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return found[0] if found else f"pytest ended with {done.returncode}"


if __name__ == "__main__":
    main()
