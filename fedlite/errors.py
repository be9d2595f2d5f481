"""Errors a caller can cause, each naming place, value, reason and remedy.

Everything a user may do wrong is a `FedliteError`; the command line prints it without a traceback and exits with its
`exit_code`. Anything else that escapes is a defect of fedlite.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class FedliteError(Exception):
    """A mistake that the caller can mend. The message says what was wrong and what to do."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in one file: `path:line:column: key: message; remedy`.

    `line` and `column` count from 1; 0 means that the place is not known (a value given on the command line, say).
    """

    path: str
    line: int
    column: int
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place}: {self.key}: {self.message}; {self.remedy}"

    def bounded(self) -> Problem:
        """Return the problem with no part longer than anybody reads, and nothing in it that a terminal obeys."""
        parts = (clipped(self.key, MOST_QUOTED), clipped(self.message, MOST_SAID), clipped(self.remedy, MOST_SAID))
        return Problem(self.path, self.line, self.column, *map(_shown, parts))


MOST_PROBLEMS: Final = 100
"""That are told of a file; a person mends those first."""
MOST_QUOTED: Final = 80
"""Characters of a value in a message."""
MOST_SAID: Final = 2000
"""Characters of a message: longer is only what quotes a hostile file."""


class InvalidFileError(FedliteError):
    """A scenario, profile, mix, trace or study file is wrong. Holds every problem found, not only the first.

    Of more than `MOST_PROBLEMS` the first are held, and how many more there are.

    Parameters
    ----------
    problems : list of Problem
    more : int
        Mistakes that were counted and not explained.
    """

    def __init__(self, problems: list[Problem], more: int = 0) -> None:
        found = sorted(problems)
        # To say that there is one more takes as long as that one.
        most = MOST_PROBLEMS if more or len(found) > MOST_PROBLEMS + 1 else len(found)
        self.problems = [problem.bounded() for problem in found[:most]]
        if more := more + len(found) - len(self.problems):
            rest = f"got {more} more mistakes than the {len(self.problems)} told here, expected none"
            self.problems.append(Problem(found[0].path, 0, 0, "(file)", rest, "mend these and ask again"))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnitError(FedliteError):
    """A quantity has no unit, an unknown unit, or a unit of another dimension."""


class FleetExhaustedError(FedliteError):
    """No device can ever become eligible again, so the run cannot go on."""

    exit_code = 3


class DataUnavailableError(FedliteError):
    """A dataset is not on this machine and could not be fetched."""

    exit_code = 4


class EngineLostError(FedliteError):
    """What the clients' jobs run on is gone in mid-run; the run can be continued."""

    exit_code = 6


class UnknownNameError(FedliteError):
    """A name is in no table. The message lists the names that are."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"{kind}: got {name!r}, expected one of {', '.join(sorted(known))}")
        self.kind = kind
        self.name = name
        self.known = sorted(known)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like a mistyped one, or None if none is like it."""
    lowered = {candidate.lower(): candidate for candidate in sorted(known)}
    if len(name) > MOST_QUOTED:  # which is like no name, and long to compare
        return None
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def clipped(text: str, most: int) -> str:
    """Return a text, its end cut off and said to be where it has more characters."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _shown(text: str) -> str:
    """Return a text with its control characters written out."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def quoted(value: object) -> str:
    """Return a value as messages quote it: what Python would write, or its beginning."""
    if isinstance(value, str) and len(value) > MOST_QUOTED:
        return f"{value[:MOST_QUOTED]!r}... ({len(value)} characters)"
    return clipped(repr(value), MOST_QUOTED)


def unwritten(path: Path, error: Exception) -> FedliteError:
    """Return the error for a file of a run that cannot be written: a full disk, say."""
    return FedliteError(
        f"{path}: got {error} while writing, expected room on the disk and permission;"
        f" make some, then continue with --resume {path.parent}"
    )
