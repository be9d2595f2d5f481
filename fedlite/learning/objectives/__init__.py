"""The objectives by name: what a model learns and by which number it is judged; importing this does not import torch.

An objective is one module holding one class with its loss, its metrics (the first is the main one) and its citation. A
user's own is named `pkg.mod:Name`, a class or function that takes no argument and gives an `Objective`.
"""

from __future__ import annotations

from typing import Final

from fedlite import own_code
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning.objectives.base import LOSS, Metric, MisfitError, Objective, columns_of

__all__ = ["LOSS", "OBJECTIVES", "Metric", "MisfitError", "Objective", "columns_of", "objective"]

OBJECTIVES: Final[dict[str, str]] = {
    "cross-entropy": "fedlite.learning.objectives.cross_entropy:CrossEntropy",
    "exits": "fedlite.learning.objectives.exits:Exits",
    "detection": "fedlite.learning.objectives.detection:Detection",
    "next-character": "fedlite.learning.objectives.next_character:NextCharacter",
    "reconstruction": "fedlite.learning.objectives.reconstruction:Reconstruction",
    "regression": "fedlite.learning.objectives.regression:Regression",
}
"""Name -> `module:Class`."""


def objective(name: str) -> Objective:
    """Return the objective that a name stands for.

    Raises
    ------
    UnknownNameError
        If the name is in no table, or the module has no such class.
    FedliteError
        If the module cannot be imported, or what it holds gives no objective.
    """
    if ":" not in name and name not in OBJECTIVES:
        raise UnknownNameError("objective", name, [*OBJECTIVES, "pkg.mod:Name"])
    try:
        found = own_code.load(OBJECTIVES.get(name, name))
    except own_code.OwnCodeError as error:
        raise FedliteError(
            f"objective: got {name!r}, which cannot be imported ({error}), expected pkg.mod:Name; {own_code.REMEDY}"
        ) from error
    try:
        made = own_code.call(found)
    except FedliteError as error:
        raise FedliteError(
            f"objective: got {name!r}, which cannot be made ({error}), expected a class that takes no argument; mend it"
        ) from error
    if not isinstance(made, Objective):
        raise FedliteError(
            f"objective {name!r}: got {type(made).__name__}, expected a fedlite.learning.objectives.Objective; "
            "derive the class from it"
        )
    _check_metrics(name, made.metrics)
    return made


def _check_metrics(name: str, metrics: tuple[Metric, ...]) -> None:
    names = [metric.name for metric in metrics]
    if not names or len(set(names)) < len(names):
        raise FedliteError(
            f"objective {name!r}: got metrics {names}, expected one or more with different names; the first is the main"
        )
