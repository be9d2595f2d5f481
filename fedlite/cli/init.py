"""`fedlite init`: a commented scenario, or a small Flower app, to begin with."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.scenario.starter import Choice

_FLEET = "scenario.yaml"
APP_TEMPLATE = "app_template"
"""Folder beside this module that `--app` copies."""

Target = Annotated[
    Path | None, typer.Argument(help="File to write; with --app the folder. Default scenario.yaml or app.")
]
App = Annotated[bool, typer.Option("--app", help="Write a Flower app that `fedlite app` and `flwr run` both take.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Fleet = Annotated[str | None, typer.Option(help="phones (default), watches or iot-mix.")]
Data = Annotated[str | None, typer.Option(help="digits (default), watch or fashion-mnist.")]
Goal = Annotated[str | None, typer.Option(help="accuracy (default), bytes, energy or privacy.")]
Out = Annotated[Path | None, typer.Option(help="The same as TARGET.")]


def init(
    target: Target = None,
    fleet: Fleet = None,
    data: Data = None,
    goal: Goal = None,
    out: Out = None,
    app: App = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented scenario that runs; nothing that exists is ever overwritten.

    On a terminal it asks for fleet, data and goal, as far as they are not told.
    """
    from fedlite.errors import FedliteError

    if target is not None and out is not None:
        raise FedliteError(f"--out: got {out} beside {target}, expected one file; keep one of the two")
    if app and (fleet or data or goal):
        raise FedliteError("--app: got --fleet, --data or --goal beside it, which are of scenarios; leave them out")
    place = target or out
    written = (
        write_app(place or Path("app")) if app else write_starter(place or Path("scenario.yaml"), fleet, data, goal)
    )
    if as_json:
        print(json.dumps({"written": str(written), "kind": "app" if app else "scenario"}))
        return
    fleet_first = "" if not app or Path(_FLEET).exists() else f"fedlite init {_FLEET} && "
    following = f"{fleet_first}fedlite app {written} --fleet {_FLEET}" if app else f"fedlite run {written}"
    print(f"Wrote {written}. Next: {following}")


def write_starter(target: Path, fleet: str | None = None, data: str | None = None, goal: str | None = None) -> Path:
    """Write the starter scenario and return where; a folder gets a `scenario.yaml`."""
    from fedlite.scenario.starter import DATA, FLEETS, GOALS, starter

    path = target / "scenario.yaml" if target.is_dir() else target
    _refuse_existing(path)
    questions = (("Which fleet", FLEETS, fleet), ("Which data", DATA, data), ("What matters most", GOALS, goal))
    text = starter(*(_told(*question) for question in questions))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _told(question: str, choices: Mapping[str, Choice], answer: str | None) -> str:
    """Return an answer that was given, or else is asked for where somebody is there; the first is the default."""
    default = next(iter(choices))
    if answer is not None or not sys.stdin.isatty():
        return answer or default
    for name, choice in choices.items():
        print(f"  {name:<14} {choice.words}", file=sys.stderr)
    import click

    return str(typer.prompt(question, default, type=click.Choice(list(choices)), show_choices=False, err=True))


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
