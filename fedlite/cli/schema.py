"""`fedlite schema` and `fedlite migrate`: what may stand in a file, and an older file made one of today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedlite.errors import InvalidFileError, Problem, quoted

Kind = Annotated[str, typer.Argument(help="scenario, rollout or study.")]
File = Annotated[Path, typer.Argument(help="A scenario, study or rollout plan.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if there is something to change.")]


def schema(kind: Kind = "scenario", as_json: AsJson = False) -> None:
    """Print the JSON Schema by which editors complete and check a file."""
    from fedlite.scenario.json_schema import json_schema

    print(json.dumps(json_schema(kind), indent=None if as_json else 2))


def migrate(path: File, check: Check = False, as_json: AsJson = False) -> None:
    """Write today's names for keys that an earlier version called otherwise; everything else stays, comments too."""
    from fedlite.scenario import migrations
    from fedlite.scenario.loader import open_document

    document = open_document(path)
    if not isinstance(document.value, dict):
        got = "an empty file" if document.value is None else quoted(document.value)
        message = f"got {got}, expected the keys of a scenario, study or rollout plan"
        raise InvalidFileError(document.problems or [Problem(str(path), 1, 1, "(file)", message, "check the path")])
    if (wrong := migrations.wrong_schema(document)) is not None:
        raise InvalidFileError([wrong])
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    new, changes = migrations.migrated(text.removeprefix(bom), document)
    if as_json:
        told = [{"line": each.place.line, "old": each.old, "new": each.new} for each in changes]
        print(json.dumps({"path": str(path), "changes": told}))
    else:
        lines = [f"{path}:{each.place.line}:{each.place.column}: {each.old} is now {each.new}" for each in changes]
        print("\n".join(lines or [f"{path}: nothing to change"]))
    if not changes:
        return
    if check:
        raise typer.Exit(1)
    path.write_text(bom + new, encoding="utf-8", newline="")
