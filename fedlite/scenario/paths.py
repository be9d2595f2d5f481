"""Paths in a file begin at its folder, and are made whole, so that the resolved scenario means the same anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import AfterValidator, ValidationInfo

from fedlite.errors import quoted
from fedlite.scenario.base import mistake

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER: Final = "folder"
"""Key of the validation context: the folder that paths in the file start from."""


def folder_of(info: ValidationInfo) -> Path:
    """Return the folder of the file that is being read."""
    return Path((info.context or {}).get(FOLDER, "."))


def beside(what: str) -> AfterValidator:
    """Return the annotation of a path that must be a plain file; `what` is what messages call it."""

    def find(file: str, info: ValidationInfo) -> str:
        try:
            path = Path(folder_of(info), file).expanduser().resolve()
            there, plain = path.exists(), path.is_file()
        except ValueError as error:  # a null byte, say
            raise mistake(
                f"got {what} {quoted(file)}, which can be no path ({error})", "write the path of a file"
            ) from None
        if there and not plain:
            raise mistake(f"got {what} {quoted(file)}, which is no plain file", "write the path of a file")
        if not there:
            raise mistake(f"got {what} {quoted(file)}, which is not there", f"put it at {path}, or mend the path")
        return str(path)

    finder: Callable[[str, ValidationInfo], str] = find
    return AfterValidator(finder)
