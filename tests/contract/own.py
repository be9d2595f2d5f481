"""Parts of one's own on the command line, so that a battery can be run on files that lie outside of the repository.

    PYTHONPATH=my/parts pytest tests/contract --part '{name: "thin:Thin", rank: 6}' --part hinge:Hinge

A part is written as in a scenario. Its class says of which kind it is, and every battery takes those of its kind.
"""

from __future__ import annotations

import json
from inspect import isfunction
from typing import Any

import yaml
from flwr.serverapp.strategy import Strategy

from fedlite import own_code
from fedlite.client.stages.base import Stage
from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import made
from fedlite.compression.structure.base import Structure
from fedlite.learning.objectives import Objective
from fedlite.learning.objectives.terms.base import Term

GIVEN: list[str] = []
"""What the command line names; filled before any battery is collected."""


def examples(kind: type) -> dict[str, list[Any]]:
    """Return the parts of a kind by name, each name with its settings."""
    found: dict[str, list[Any]] = {}
    for name, options in _of(kind):
        found.setdefault(name, []).append(made(name, options, {}, kind))
    return found


def references(kind: type) -> list[str]:
    """Return the names of the classes of a kind that take no options."""
    return [name for name, _ in _of(kind)]


def strategies() -> dict[str, str]:
    """Return the synchronous strategies by name, each as a scenario writes it: functions, and Flower's classes."""
    written = [(name, options) for name, options in _written() if isfunction(own_code.load(name))] + _of(Strategy)
    return {name: json.dumps({"name": name, **options}) for name, options in written}


def strays() -> list[str]:
    """Return what is named and is of no kind that has a battery here."""
    kinds = (Structure, Constraint, Term, Stage, Objective)
    known = {name for kind in kinds for name, _ in _of(kind)} | set(strategies())
    return [name for name, _ in _written() if name not in known]


def _of(kind: type) -> list[tuple[str, dict[str, Any]]]:
    loaded = [(own_code.load(name), name, options) for name, options in _written()]
    return [(name, options) for found, name, options in loaded if isinstance(found, type) and issubclass(found, kind)]


def _written() -> list[tuple[str, dict[str, Any]]]:
    try:
        parts = [yaml.safe_load(text) if text.startswith("{") else {"name": text} for text in GIVEN]
    except yaml.YAMLError as error:
        raise own_code.OwnCodeError(" ".join(str(error).split())) from error
    for text, part in zip(GIVEN, parts, strict=True):
        if not isinstance(part.get("name"), str):
            raise own_code.OwnCodeError(f"got {text!r}, expected a name; write '{{name: \"pkg.mod:Class\", ...}}'")
    return [(part.pop("name"), part) for part in parts]
