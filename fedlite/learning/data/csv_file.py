"""A CSV file as a dataset: a table of numbers, pictures of pixel columns, or text whose next character is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.learning.data.characters import PRINTABLE, encode, windows
from fedlite.learning.data.columns import Columns
from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.file_split import FileRows, held_rows, refuse_many, rows_by_owner, shaped

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

STRIDE: Final = 10
"""Characters from one window of a text to the next, as in the data set shakespeare."""
_TEST: Final = {"test": True, "1": True, "true": True, "train": False, "0": False, "false": False}


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and what its columns are.

    Attributes
    ----------
    path : Path
    label : str, optional
        Column of classes.
    targets : tuple of str
        Columns of numbers to learn, in place of a label.
    text : str, optional
        Column of text whose next character is learned, in place of both.
    client : str, optional
        Column that says whose a row is.
    features : tuple of str
        Columns of numbers to learn from; without any, all that have no other part.
    one_hot : tuple of str
        Columns with an input for each value.
    shape : tuple of int
        Of a sample: the features, in their order, row by row.
    context : int
        Characters of a sample of text.
    alphabet : str
        Characters that are told apart.
    test : float
        Share of each client's rows that are the test; of text, the end of it.
    test_column : str, optional
        Column that says instead which rows are: `test` or `train`.
    standardise : bool
        Whether inputs get zero mean and unit deviation over the training rows: each column, or each channel.
    """

    path: Path
    label: str | None = None
    targets: tuple[str, ...] = ()
    text: str | None = None
    client: str | None = None
    features: tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    context: int = 80
    alphabet: str = PRINTABLE
    test: float = 0.2
    test_column: str | None = None
    standardise: bool = True

    def read(self) -> Dataset:
        """Return the dataset.

        Raises
        ------
        DatasetError
            With file, row, column and value of the first cell that is not what it is said to be.
        DataUnavailableError
            If there is no such file.
        """
        columns = Columns.read(self.path)
        for key in ("label", "targets", "text", "client", "features", "one_hot", "test_column"):
            named = getattr(self, key)
            columns.require(key, (named,) if isinstance(named, str) else named or ())
        owners, names = (None, ()) if self.client is None else columns.codes(self.client, most=None)
        held = self._told(columns)
        if self.text is not None:
            return self._text(columns, owners, names, held)
        y, class_names, objective = self._labels(columns)
        x = shaped(self.path, self._inputs(columns), self.shape)
        classes = len(class_names) or len(self.targets)
        rows = FileRows(self.path, x, y, classes, owners, names, class_names, objective)
        if held is None:
            held = held_rows(owners, len(columns), self.test)
        return rows.dataset(held, scaled=self.standardise)

    def _told(self, columns: Columns) -> NDArray[np.bool_] | None:
        """Return which rows are the test where a column says it."""
        if self.test_column is None:
            return None
        cells = [cell.lower() for cell in columns.text(self.test_column)]
        for row, cell in enumerate(cells):
            if cell not in _TEST:
                raise columns.wrong(row, self.test_column, cell, "train or test", "write one of these")
        return np.array([_TEST[cell] for cell in cells])

    def _labels(self, columns: Columns) -> tuple[Ints | NDArray[np.float32], tuple[str, ...], str]:
        if self.label is None:
            return np.stack([columns.numbers(name) for name in self.targets], axis=1), (), "regression"
        codes, values = columns.codes(self.label)
        if len(values) == 1:
            raise DatasetError(
                f"{self.path}: column {self.label!r}: got {values[0]!r} alone, expected at least two classes;"
                " name another column"
            )
        return codes, values, "cross-entropy"

    def _inputs(self, columns: Columns) -> NDArray[np.float32]:
        """Return one row of numbers for each row of the file: features first, then those of one_hot."""
        taken = {self.label, *self.targets, self.client, self.test_column, *self.one_hot}
        features = self.features or tuple(name for name in columns.names if name not in taken)
        refuse_many(self.path, len(columns), len(features))
        parts = [columns.numbers(name)[:, None] for name in features]
        for name in self.one_hot:
            codes, values = columns.codes(name)
            parts.append(np.eye(len(values), dtype=np.float32)[codes])
        if not parts:
            raise DatasetError(f"{self.path}: got no column to learn from, expected one; name some in features")
        return np.concatenate(parts, axis=1)

    def _text(
        self, columns: Columns, owners: Ints | None, names: tuple[str, ...], held: NDArray[np.bool_] | None
    ) -> Dataset:
        """Return windows over each client's rows, joined by line breaks in the order of the file."""
        cells = columns.filled(str(self.text))
        pieces = [self._divided(cells, rows, held) for rows in rows_by_owner(owners, len(cells))]
        refuse_many(self.path, sum(len(piece) for both in pieces for piece in both) // STRIDE, self.context)
        train, test = (self._windows([both[side] for both in pieces]) for side in (0, 1))
        if not len(train[1]) or not len(test[1]):
            raise DatasetError(
                f"{self.path}: column {self.text!r}: got no client with more than {self.context} characters in"
                f" {'the test' if len(train[1]) else 'training'}, expected one; lower 'context', or leave out 'client'"
            )
        rows = FileRows(
            self.path,
            np.concatenate([train[0], test[0]]),
            np.concatenate([train[1], test[1]]),
            1 + len(self.alphabet),
            None if owners is None else np.concatenate([train[2], test[2]]),
            names,
            ("other", *self.alphabet),
            "next-character",
        )
        return rows.dataset(np.arange(len(rows.y)) >= len(train[1]), scaled=False)

    def _divided(self, cells: list[str], rows: Ints, held: NDArray[np.bool_] | None) -> tuple[Ints, Ints]:
        """Return the characters of one client to train on, and those of its test."""
        if held is None:
            whole = encode("\n".join(cells[row] for row in rows), self.alphabet)
            cut = round((1 - self.test) * len(whole))
            return whole[:cut], whole[cut:]
        train, test = (
            encode("\n".join(cells[row] for row in rows if held[row] == side), self.alphabet) for side in (0, 1)
        )
        return train, test

    def _windows(self, texts: list[Ints]) -> tuple[NDArray[np.float32], Ints, Ints]:
        lengths = np.array([len(text) for text in texts])
        ends = np.cumsum(lengths)
        return windows(np.concatenate(texts), ends - lengths, ends, context=self.context, stride=STRIDE)
