"""`fedlite validate`: every mistake in a scenario, study, rollout plan, profile or mix, with its place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.errors import FedliteError, InvalidFileError

if TYPE_CHECKING:
    from fedlite.errors import Problem
    from fedlite.scenario.schema import Scenario
    from fedlite.scenario.strict_yaml import Document

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
File = Annotated[Path, typer.Argument(help="A scenario, study, rollout plan, device profile or mix.")]
FleetOnly = Annotated[bool, typer.Option("--fleet", help="Accept a scenario without a task, as `fedlite app` does.")]


def validate(path: File, as_json: AsJson = False, fleet_only: FleetOnly = False) -> None:
    """Check a file and say everything that is wrong with it; exit code 0 if nothing is, else 2.

    A CSV or npz file that a scenario names, or the base of a study, is read and dealt to clients too; no other data is.
    """
    from fedlite.scenario.loader import open_document

    kind, problems, remarks = "file", [], []
    try:
        document = open_document(path)
        kind = kind_of(document)
        remarks = check(path, "fleet" if fleet_only and kind == "scenario" else kind, document)
    except InvalidFileError as error:
        problems = error.problems
    if as_json:
        told = {"path": str(path), "kind": kind, "valid": not problems, "problems": _records(problems)}
        print(json.dumps(told | ({"remarks": remarks} if remarks else {})))
    elif problems:
        print("\n".join(str(problem) for problem in problems))
    else:
        print("; ".join([f"{path}: this {kind} is in order", *(f"mind that {remark}" for remark in remarks)]))
    if problems:
        raise SystemExit(InvalidFileError.exit_code)


_OF_ROLLOUTS = {"strategy", "model", "gates", "worlds", "download", "audience", "replications", "horizon"}
_OF_SCENARIOS = {"task", "training", "clients", "wire", "privacy"}


def kind_of(document: Document) -> str:
    """Return what a file seems to be, by the keys that only this kind has: scenario, study, rollout, profile or mix."""
    value = document.value
    keys = set(value) if isinstance(value, dict) else set()
    if "base" in keys and "fleet" not in keys:
        return "study"
    if "shares" in keys:
        return "mix"
    if len(keys & _OF_ROLLOUTS) > 1 and not keys & _OF_SCENARIOS:
        return "rollout"
    return "profile" if "soc" in keys else "scenario"


def check(path: Path, kind: str, document: Document) -> list[str]:
    """Load a file as what it is, and return what is in order but may not be meant.

    Raises
    ------
    InvalidFileError
        With every mistake.
    """
    if kind == "study":
        from fedlite.scenario.loader import open_document
        from fedlite.scenario.study import load_study

        base = load_study(path, document).base
        return check(base, "scenario", open_document(base))
    if kind == "rollout":
        from fedlite.scenario.rollout import reach
        from fedlite.scenario.rollout.loading import load_rollout

        return reach.remarks(load_rollout(path, document=document))
    if kind == "profile":
        from fedlite.scenario.profiles import load_profile

        load_profile(path)
    elif kind == "mix":
        from fedlite.scenario.profiles import load_mix

        load_mix(path)
    else:
        from fedlite.scenario import loader
        from fedlite.scenario.schema import FleetScenario, Scenario

        found = loader.check(document, FleetScenario if kind == "fleet" else Scenario, path.parent)
        if isinstance(found, Scenario):
            _deal(found, document)
        return found.remarks
    return []


def _deal(scenario: Scenario, document: Document) -> None:
    """Read and deal data of the user's own as a run does, for what is wrong with it only reading it tells.

    Raises
    ------
    InvalidFileError
        With the first mistake.
    """
    from fedlite.scenario.placing import problem_of

    if isinstance(scenario.task.data, str):
        return
    from fedlite.compose.learning import prepare

    try:
        prepare(scenario)
    except FedliteError as error:
        problem = problem_of(error, document, "task.data")
        if problem is None:
            raise
        raise InvalidFileError([problem]) from error


def _records(problems: list[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "path": problem.path,
            "line": problem.line,
            "column": problem.column,
            "key": problem.key,
            "message": problem.message,
            "remedy": problem.remedy,
        }
        for problem in problems
    ]
