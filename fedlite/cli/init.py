"""`fedlite init`: a commented scenario, or a small Flower app, to begin with."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

STARTER = "starter.yaml"
APP_TEMPLATE = "app_template"
"""Folder beside this module that `--app` copies."""

Target = Annotated[
    Path | None, typer.Argument(help="File to write; with --app the folder. Default scenario.yaml or app.")
]
App = Annotated[bool, typer.Option("--app", help="Write a Flower app that `fedlite app` and `flwr run` both take.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def init(target: Target = None, app: App = False, as_json: AsJson = False) -> None:
    """Write a commented starter scenario; nothing that exists is ever overwritten."""
    written = write_app(target or Path("app")) if app else write_starter(target or Path("scenario.yaml"))
    if as_json:
        print(json.dumps({"written": str(written), "kind": "app" if app else "scenario"}))
        return
    following = f"fedlite app {written} --fleet scenario.yaml" if app else f"fedlite run {written}"
    print(f"Wrote {written}. Next: {following}")


def write_starter(target: Path) -> Path:
    """Write the starter scenario and return where; a folder gets a `scenario.yaml`."""
    path = target / "scenario.yaml" if target.is_dir() else target
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files("fedlite.cli").joinpath(STARTER).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def write_app(target: Path) -> Path:
    """Copy the app template to a new folder and return where."""
    _refuse_existing(target)
    with as_file(files("fedlite.cli").joinpath(APP_TEMPLATE)) as source:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def _refuse_existing(path: Path) -> None:
    from fedlite.errors import FedliteError

    if path.exists():
        raise FedliteError(f"{path}: got a path that exists, expected a new one; name another, or remove it first")
