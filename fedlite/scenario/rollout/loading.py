"""A plan file -> a checked `RolloutPlan`, or every mistake in it with its place; and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlite.scenario.dump import dump
from fedlite.scenario.loader import check, open_document
from fedlite.scenario.rollout.plan import RolloutPlan, as_written
from fedlite.scenario.strict_yaml import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.scenario.strict_yaml import Document


def load_rollout(
    path: str | Path, overrides: Mapping[str, Any] | None = None, document: Document | None = None
) -> RolloutPlan:
    """Return the plan in a file.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    overrides : mapping of str to str or plain value, optional
        Dotted key to value, such as `{"download.retries": "5"}`; a text is read as YAML.
    document : Document, optional
        The file, if it was read already.

    Raises
    ------
    InvalidFileError
        With every mistake in the file and the overrides; `problems` lists them.
    """
    return check(document or open_document(path), RolloutPlan, Path(path).parent, overrides)


def parse_rollout(
    text: str, name: str = "(text)", overrides: Mapping[str, Any] | None = None, folder: Path | None = None
) -> RolloutPlan:
    """Return the plan in a text, `name` standing for the file in messages; its paths start from `folder`."""
    return check(read(text, name), RolloutPlan, folder or Path(), overrides)


def dump_rollout(plan: RolloutPlan) -> str:
    """Return the resolved plan as YAML; `parse_rollout` gives an equal plan back."""
    return dump(as_written(plan))
