"""Rounds of a run for the tools of the house, written as it goes: `--log-to tensorboard:DIR` or `mlflow:DIR`.

Whoever logs is told what a progress bar is told, and decides nothing: what fails while a run goes on is warned of,
and the run goes on without.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fedlite.compose.progress import Progress

BOOKS: Final = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
"""Kind -> the package that it needs; each is a module beside this one, and an extra of that name."""
_STEP: Final = "round"
"""The column that is where a value stands, and no value."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """Which run it is.

    Attributes
    ----------
    path : Path
        Its directory.
    is_new : bool
        Whether nothing of it was ever trained; else what is logged of its first rounds is kept.
    settings : mapping
        Of the resolved scenario: "training.rounds" -> "30".
    """

    path: Path
    is_new: bool
    settings: Mapping[str, str]


class Book(Protocol):
    """Where rounds are written: opened with a folder and the run's `About`."""

    last: int
    """The last round that it has already; -1 if none."""

    def write(self, round_: int, time_s: float, values: Mapping[str, float]) -> None:
        """Write the values of a round that ended at a virtual time; the book is readable at once."""

    def close(self, *, finished: bool) -> None:
        """End the book of a run that came to its end, or was stopped."""


def check(wanted: Sequence[str]) -> None:
    """Refuse what `--log-to` cannot mean.

    Raises
    ------
    FedliteError
        If one is no KIND:FOLDER, of an unknown kind, or its extra is not installed.
    """
    for text in wanted:
        kind, colon, folder = text.partition(":")
        if kind not in BOOKS:
            raise UnknownNameError("--log-to", kind, list(BOOKS))
        if not colon or not folder or "://" in text:
            raise FedliteError(f"--log-to: got {text!r}, expected {kind}:FOLDER, a folder of this machine")
        if find_spec(BOOKS[kind]) is None:
            raise FedliteError(f"--log-to: got {text!r}, but not the extra; pip install 'fedlite[{kind}]'")


@contextmanager
def opened(wanted: Sequence[str], about: About) -> Iterator[list[Log]]:
    """Open what was asked for, one after another; each is to be told every progress.

    Raises
    ------
    FedliteError
        If one cannot be opened.
    """
    logs: list[Log] = []
    finished = False
    try:
        for text in wanted:
            kind, _, folder = text.partition(":")
            logs.append(Log(_open(kind, Path(folder), about), text))
        yield logs
        finished = True
    finally:
        for log in logs:
            log.close(finished=finished)


def _open(kind: str, folder: Path, about: About) -> Book:
    try:
        book: Book = import_module(f"fedlite.compose.logs.{kind}").Book(folder, about)
    except Exception as error:
        raise FedliteError(
            f"--log-to: got {kind}:{folder}, which cannot be opened ({type(error).__name__}: {error}); choose another"
        ) from error
    return book


class Log:
    """What a book is told: each round once, whether a run is resumed or a round's row is told again as it grows."""

    def __init__(self, book: Book, name: str) -> None:
        self._book: Book | None = book
        self._name = name
        self._held: Mapping[str, Any] = {}

    def __call__(self, now: Progress) -> None:
        """Take a round; the one before it is final now, and written."""
        if not now.row:
            return
        if self._held and self._held["round"] != now.row["round"]:
            self._write()
        self._held = now.row

    def close(self, *, finished: bool) -> None:
        """Write the last round of a run that came to its end, and end the book."""
        if finished and self._held:
            self._write()
        self._do(lambda book: book.close(finished=finished))

    def _write(self) -> None:
        row = self._held
        values = {name: float(value) for name, value in row.items() if name != _STEP and math.isfinite(float(value))}
        if self._book is not None and row["round"] > self._book.last:
            self._do(lambda book: book.write(int(row["round"]), float(row["end_s"]), values))

    def _do(self, work: Any) -> None:
        if self._book is None:
            return
        try:
            work(self._book)
        except Exception as error:  # noqa: BLE001 (whatever a foreign library raises must not end a run)
            self._book = None
            _log.warning("--log-to %s: %s: %s; the run goes on without", self._name, type(error).__name__, error)
