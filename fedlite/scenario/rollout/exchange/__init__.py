"""Plans of other systems: a document of theirs -> a plan, and a plan -> a document.

Each system is one module with `read(document)` and `write(plan, start=None)`. What one side cannot express is listed,
never dropped; what is out of the other system's own range is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import FedliteError, InvalidFileError, Problem
from fedlite.scenario.rollout.exchange import argo, aws, hawkbit, mender
from fedlite.scenario.strict_yaml import Document, KeyPath, dotted, read, read_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from fedlite.scenario.rollout.exchange.fields import Imported, Left
    from fedlite.scenario.rollout.plan import RolloutPlan


@dataclass(frozen=True)
class System:
    """One of the other systems."""

    title: str
    read: Callable[[Document], Imported]
    write: Callable[..., tuple[dict[str, Any], list[Left]]]
    is_yaml: bool = False


SYSTEMS: Final[dict[str, System]] = {
    "aws": System("AWS IoT Jobs", aws.read, aws.write),
    "hawkbit": System("Eclipse hawkBit", hawkbit.read, hawkbit.write),
    "mender": System("Mender", mender.read, mender.write),
    "argo": System("Argo Rollouts", argo.read, argo.write, is_yaml=True),
}
"""Name -> system."""


def system(name: str) -> System:
    """Return a system by name.

    Raises
    ------
    FedliteError
        If fedlite does not know it.
    """
    if name not in SYSTEMS:
        raise FedliteError(f"got the system {name!r}, expected one of {', '.join(SYSTEMS)}; write one of these")
    return SYSTEMS[name]


def load(path: Path, name: str) -> Imported:
    """Return what a file of another system comes to.

    JSON is read by the strict YAML reader too, of whose language it is a part, for the line of every field.

    Raises
    ------
    InvalidFileError
        If the file cannot be read, or holds what the other system would refuse.
    """
    document = read_file(path, several=system(name).is_yaml)
    if system(name).is_yaml:
        document = _gathered(document)
    elif document.problems:
        text = path.read_text(encoding="utf-8-sig")
        # Outside its texts JSON may be indented with tabs, and inside them there are none.
        document = read(text.replace("\t", " "), str(path))
    if document.value is not None and not isinstance(document.value, dict):
        told = f"got no mapping, expected a document of {system(name).title}"
        document.problems.append(Problem(str(path), 1, 1, "(file)", told, "check the file"))
    if document.problems or document.value is None:
        empty = Problem(str(path), 1, 1, "(file)", "got an empty file", "check the path")
        raise InvalidFileError(document.problems or [empty])
    return system(name).read(document)


def _gathered(documents: Document) -> Document:
    """Return the documents of one file as one: itself, or the List of resources that they are."""
    told = documents.value or []
    if len(told) > 1:
        return _moved(documents, {"kind": "List", "items": told}, lambda path: ("items", *path))
    return _moved(documents, told[0] if told else None, lambda path: path[1:])


def _moved(document: Document, value: Any, to: Callable[[KeyPath], KeyPath]) -> Document:
    """Return a document of another value, what was at a path being elsewhere."""
    keys, values = ({to(path): place for path, place in at.items()} for at in (document.keys, document.values))
    problems = [replace(one, key=dotted(to(tuple(one.key.split("."))))) for one in document.problems]
    return Document(document.path, value, keys, values, problems)


def export(plan: RolloutPlan, name: str, start: datetime | None = None) -> tuple[dict[str, Any], list[Left]]:
    """Return a plan as a document of another system, and what that cannot express."""
    return system(name).write(plan, start=start)
