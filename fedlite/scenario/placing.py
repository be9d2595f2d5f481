"""A mistake that shows only when data or nets are there: which key of the file it is about, and where that stands."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError, InvalidFileError, Problem
from fedlite.scenario.problems import as_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.strict_yaml import Document

_KEY: Final = re.compile(r"([a-z_]+(?:\.\w+)*): ")
"""With which a message about a key begins."""


@contextmanager
def placed(document: Document) -> Iterator[None]:
    """Tell a mistake about a key of a file with its place there.

    Raises
    ------
    InvalidFileError
        In place of a `FedliteError` that begins with a key of the file.
    """
    try:
        yield
    except FedliteError as error:
        problem = None if error.exit_code != FedliteError.exit_code else problem_of(error, document)
        if problem is None or isinstance(error, InvalidFileError):
            raise
        told = InvalidFileError([problem])
        for note in getattr(error, "__notes__", []):
            told.add_note(note)
        raise told from error


def problem_of(error: FedliteError, document: Document, otherwise: str = "") -> Problem | None:
    """Return a mistake with the place of the key that it begins with, or else of the key `otherwise`.

    None if neither is a key of a section of the file.
    """
    found = _KEY.match(str(error))
    key = found[1] if found and (as_path(found[1])[0],) in document.values else otherwise
    path = as_path(key)
    while path and path not in document.values:
        path = path[:-1]
    if not path:
        return None
    told = str(error)[found.end() :] if found and key == found[1] else str(error)
    message, _, remedy = told.rpartition("; ")
    place = document.values[path]
    return Problem(place.path, place.line, place.column, key, message or remedy, remedy if message else "mend it")
