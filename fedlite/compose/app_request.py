"""What a user asks of a Flower app, and the file of the run directory that remembers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError
from fedlite.flower.app_prices import Declared

if TYPE_CHECKING:
    from fedlite.flower.app_dir import RunConfig
    from fedlite.results.directory import RunDirectory

APP_FILE: Final = "app.json"
"""File of the run directory that says which app was run, and how."""


@dataclass(frozen=True)
class AppRequest:
    """What a user asked of an app, beside the scenario: everything that decides the result.

    Attributes
    ----------
    folder : str
        The app's directory.
    run_config : dict
        The app's own, overrides included.
    declared : Declared
        Work and memory of one job, where they are not to be counted.
    """

    folder: str
    run_config: RunConfig
    declared: Declared


def read_request(directory: RunDirectory) -> AppRequest:
    """Return what was asked when the run was begun; raise FedliteError if the file is damaged."""
    try:
        found = json.loads(directory.read_text(APP_FILE))
        return AppRequest(**{**found, "declared": Declared(**found["declared"])})
    except (ValueError, TypeError, KeyError) as error:
        raise FedliteError(
            f"{directory.path / APP_FILE}: got a damaged file ({error}), expected what fedlite wrote; start a new run"
        ) from error
