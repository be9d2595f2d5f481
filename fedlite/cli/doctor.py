"""`fedlite doctor`: whether this machine can run fedlite, what is missing, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from fedlite.cli.console import terminal
from fedlite.units import GIB, KIB, show

if TYPE_CHECKING:
    from collections.abc import Iterator

State = Literal["ok", "warning", "failed"]

LIBRARIES: Final = {
    "numpy": "numpy",
    "torch": "torch",
    "flwr": "flwr",
    "ray": "ray",
    "polars": "polars",
    "pydantic": "pydantic",
    "plotly": "plotly",
    "pyyaml": "yaml",
    "safetensors": "safetensors",
    "scikit-learn": "sklearn",
    "zstandard": "zstandard",
    "constriction": "constriction",
    "dp-accounting": "dp_accounting",
}
"""Distribution -> module."""
LEAST_PYTHON: Final = (3, 11)
LEAST_MEMORY_BYTES: Final = 2 * GIB
"""A run on two Ray actors takes about a gigabyte; the rest is for the model and the data."""
LEAST_DISK_BYTES: Final = GIB
SOME_FAILED: Final = 1
"""Exit code when something is missing that a run needs."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
WithRay = Annotated[bool, typer.Option("--ray", help="Also start Ray and stop it again, which takes some seconds.")]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    remedy: str = ""


def doctor(ray: WithRay = False, as_json: AsJson = False) -> None:
    """Check Python, libraries, torch, accelerators, data folder, memory, disk; exit code 1 if a run could not work."""
    findings = [_python(), *_libraries(), _torch(), _accelerators(), _data(), _memory(), _disk()]
    if ray:
        findings.append(_ray())
    failed = any(finding.state == "failed" for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}))
    else:
        _show(findings)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _python() -> Finding:
    wanted = ".".join(map(str, LEAST_PYTHON))
    state: State = "ok" if sys.version_info >= LEAST_PYTHON else "failed"
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return Finding("python", state, found, "" if state == "ok" else f"install Python {wanted} or newer")


def _libraries() -> Iterator[Finding]:
    for distribution, module in LIBRARIES.items():
        try:
            version = metadata.version(distribution)
            import_module(module)
        except (metadata.PackageNotFoundError, ImportError) as error:
            remedy = f"pip install -c constraints.txt '{distribution}'"
            yield Finding(distribution, "failed", f"{type(error).__name__}: {error}", remedy)
        else:
            yield Finding(distribution, "ok", version)


def _torch() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("torch computes", "failed", "torch is not there", "pip install torch==2.13.0")
    product = torch.ones(64, 64) @ torch.ones(64, 64)
    right = bool((product == product.shape[0]).all())
    found = f"CPU, {torch.get_num_threads()} threads" + ("" if right else ", and a matrix product came out wrong")
    return Finding("torch computes", "ok" if right else "failed", found, "" if right else "reinstall torch")


def _accelerators() -> Finding:
    try:
        from fedlite.learning.training import accelerator
    except ImportError:
        return Finding("accelerators", "warning", "torch is not there", "pip install torch==2.13.0")
    found = [f"{kind}: {model}" for kind, model in accelerator.visible().items()]
    if not found:
        return Finding("accelerators", "ok", "torch sees none")
    return Finding("accelerators", "ok", "; ".join(found), "none is used without --accelerator")


def _data() -> Finding:
    from fedlite.learning.data.cache import data_dir
    from fedlite.learning.data.catalog import CATALOG
    from fedlite.learning.data.store import stored

    folder = data_dir()
    ready = [name for name in CATALOG if stored(name).ready]
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data folder", "failed", f"{folder} cannot be written", "set FEDLITE_DATA to a folder of yours")
    return Finding("data folder", "ok", f"{folder}: {', '.join(ready)}")


def _memory() -> Finding:

    free = _available_bytes()
    if free is None:
        return Finding("free memory", "warning", "this system does not say", "see that 2 GB are free")
    enough = free >= LEAST_MEMORY_BYTES
    remedy = "" if enough else "close something, or run with --backend local or --actors 1"
    return Finding("free memory", "ok" if enough else "warning", show(free, "bytes"), remedy)


def _available_bytes() -> int | None:
    """Return what Linux says could be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    line = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return None if line is None else int(line.split()[1]) * KIB


def _disk() -> Finding:

    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= LEAST_DISK_BYTES
    remedy = "" if enough else "free some space, or write runs elsewhere with --out"
    return Finding("free disk here", "ok" if enough else "warning", show(free, "bytes"), remedy)


def _ray() -> Finding:
    from fedlite.compose.pools import open_engine
    from fedlite.errors import FedliteError
    from fedlite.runner import Settings

    began = time.perf_counter()
    try:
        with open_engine(Settings("ray", actors=1)):
            pass
    except FedliteError as error:
        return Finding("ray starts", "failed", str(error), "run with --backend local until it does")
    return Finding("ray starts", "ok", f"up and down in {time.perf_counter() - began:.1f} s")


def _show(findings: list[Finding]) -> None:
    from rich.table import Table

    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    table = Table(title="fedlite doctor", show_edge=False)
    for column in ("what", "state", "found", "what to do"):
        table.add_column(column)
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(finding.name, state, finding.found, finding.remedy)
    terminal().print(table)
