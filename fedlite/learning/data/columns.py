"""A CSV file as columns of text, each turned into what it stands for; what cannot be is told by row and column."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.errors import MOST_QUOTED, DataUnavailableError, clipped, nearest, quoted
from fedlite.learning.data.dataset import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

MOST_BYTES: Final = 2 * 1024**3
"""Of a file: it is held in memory, as text and as numbers."""
MOST_COLUMNS: Final = 20_000
MOST_CLASSES: Final = 1_000
"""Different values of a label, or of a column with an input for each value."""
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What some programs write for a comma."""


def header(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file; nothing else of it is read.

    Raises
    ------
    DataUnavailableError
        If there is no such file.
    DatasetError
        If it has no header, or a column twice.
    """
    refuse_large(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path}: got no CSV text ({error}), expected UTF-8 with a line of names first; save it so"
        ) from error
    if len(names) == 1 and (mark := next((mark for mark in _SEPARATORS if mark in names[0]), None)):
        raise DatasetError(
            f"{path}: got one column {quoted(names[0])}, expected names with commas between; save the file with commas"
            f" in place of {_SEPARATORS[mark]}"
        )
    if not names or not all(name.strip() for name in names):
        raise DatasetError(f"{path}: got a first line with {len(names)} names, one of them empty or none at all;"
                           " write a name for each column in it")  # fmt: skip
    if len(names) > MOST_COLUMNS:
        raise DatasetError(f"{path}: got {len(names)} columns, expected at most {MOST_COLUMNS}; store an npz file")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DatasetError(f"{path}: got the column {quoted(name)} twice, expected each once; rename one of them")
    return names


def refuse_large(path: Path) -> None:
    """Raise an error that says so if a file is not there, or larger than is read."""
    if not path.is_file():
        raise DataUnavailableError(f"{path}: got no file, expected data; put it there, or mend the path")
    if path.stat().st_size > MOST_BYTES:
        raise DatasetError(
            f"{path}: got {path.stat().st_size} bytes, expected at most {MOST_BYTES}, which are held in memory;"
            " take a part of it, or write a factory (docs/how-to/data.md)"
        )


def _misshapen(path: Path, names: int) -> str:
    """Return what is wrong with the first row that has not a cell for each name; nothing if no row is."""
    row = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader)
            for row, cells in enumerate(reader, 1):
                lines = max((cell.count("\n") for cell in cells), default=0)
                if cells and len(cells) != names:
                    got = f"row {row}: got {len(cells)} cells{f', one of {lines + 1} lines' if lines else ''}"
                    remedy = "close the quote before that cell's second line" if lines else "mend the row"
                    return f"{got}, expected {names}, one for each name in the first line; {remedy}"
    except (UnicodeDecodeError, csv.Error) as error:
        return f"row {row + 1}: got no text that is a row ({error}), expected UTF-8 with every quote closed; mend it"
    return ""


def _told(error: Exception, names: int) -> str:
    what = clipped(" ".join(str(error).split("\n\n", maxsplit=1)[0].split()), MOST_QUOTED)
    return f"got no table ({what}), expected as many cells in each row as the {names} names; mend the file"


@dataclass(frozen=True, eq=False)
class Columns:
    """The text of every cell of a CSV file. Rows count from 1 below the header."""

    path: Path
    names: list[str]
    frame: pl.DataFrame

    @classmethod
    def read(cls, path: Path) -> Columns:
        """Return the columns of a file.

        Raises
        ------
        DatasetError
            If the file is no table of text.
        """
        import polars as pl

        names = header(path)
        try:
            frame = pl.read_csv(path, infer_schema=False).fill_null("")
        except pl.exceptions.PolarsError as error:
            raise DatasetError(f"{path}: {_misshapen(path, len(names)) or _told(error, len(names))}") from error
        if not len(frame) or len(frame.columns) != len(names):
            raise DatasetError(f"{path}: got no row below the names, expected rows; mend the file")
        return cls(path, names, frame)

    def __len__(self) -> int:
        return len(self.frame)

    def require(self, key: str, names: tuple[str, ...]) -> None:
        """Refuse a name that is no column; `key` is what named it."""
        for name in names:
            if name not in self.names:
                guess = nearest(name, self.names)
                shown = ", ".join(self.names[:20]) + (" ..." if len(self.names) > 20 else "")  # noqa: PLR2004
                raise DatasetError(
                    f"{self.path}: {key}: got {quoted(name)}, expected a column out of {shown};"
                    f" write {quoted(guess) if guess else 'one of these'}"
                )

    def text(self, name: str) -> list[str]:
        """Return the cells of a column, spaces around them left out."""
        return [str(cell) for cell in self.frame[self._at(name)].str.strip_chars().to_list()]

    def filled(self, name: str) -> list[str]:
        """Return the cells of a column, none of which may be empty."""
        cells = self.text(name)
        for row, cell in enumerate(cells):
            if not cell:
                raise self.wrong(row, name, cell, "a value", "fill it in, or leave the row out")
        return cells

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Return a column of finite numbers, shape (rows,)."""
        import polars as pl

        cells = self.frame[self._at(name)].str.strip_chars()
        values = cells.cast(pl.Float64, strict=False).to_numpy().astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            row = int(wrong[0])
            raise self.wrong(
                row,
                name,
                str(cells[row]),
                "a number",
                f"mend the cell, name the column in one_hot if its values are kinds, or leave it out of features"
                f" ({len(wrong)} cells of it are alike)",
            )
        return values

    def codes(self, name: str, most: int | None = MOST_CLASSES) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the number of each cell's value, and the values: in order of size if all are numbers, else of text."""
        cells = self.filled(name)
        values = sorted_values(set(cells))
        if most is not None and len(values) > most:
            raise DatasetError(
                f"{self.path}: column {quoted(name)}: got {len(values)} values, expected at most {most} kinds;"
                f" numbers are learned with targets: [{name}], or given as features"
            )
        number = {value: code for code, value in enumerate(values)}
        return np.array([number[cell] for cell in cells], dtype=np.int64), values

    def wrong(self, row: int, name: str, got: str, expected: str, remedy: str) -> DatasetError:
        """Return the error for one cell."""
        shown = quoted(got) if got else "nothing"
        return DatasetError(
            f"{self.path}: row {row + 1}, column {quoted(name)}: got {shown}, expected {expected}; {remedy}"
        )

    def _at(self, name: str) -> str:
        return str(self.frame.columns[self.names.index(name)])


def sorted_values(values: set[str]) -> tuple[str, ...]:
    """Return texts in order: of size if every one is a whole number, else of the alphabet."""
    try:
        return tuple(sorted(values, key=lambda value: (int(value), value)))
    except ValueError:
        return tuple(sorted(values))
