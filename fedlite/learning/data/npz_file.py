"""An npz file as a dataset: numpy arrays of inputs, labels and owners. Pickled arrays are never opened."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.learning.data.columns import MOST_BYTES, MOST_CLASSES, refuse_large
from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.file_split import FileRows, held_rows, refuse_many, shaped

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_WHOLE: Final = "biu"
_KINDS: Final = f"{_WHOLE}fU"
"""Of arrays that are taken, as numpy names them: numbers and text."""


@dataclass(frozen=True)
class NpzFile:
    """An npz file and which of its arrays are what.

    Attributes
    ----------
    path : Path
    x, y : str
        Names of the inputs, shape (rows, ...), and of the labels: whole numbers or texts are classes, shape (rows,);
        other numbers are learned as such, shape (rows,) or (rows, numbers).
    client : str, optional
        Name of the array that says whose a row is.
    text : bool
        Whether inputs are numbers of characters, and labels those that follow.
    shape : tuple of int
        Of a sample, if not as it is stored.
    test : float
        Share of each client's rows that are the test, where there is no `x_test` (named after `x`).
    standardise : bool
        Whether inputs get zero mean and unit deviation per channel over the training rows.
    """

    path: Path
    x: str = "x"
    y: str = "y"
    client: str | None = None
    text: bool = False
    shape: tuple[int, ...] = ()
    test: float = 0.2
    standardise: bool = True

    def read(self) -> Dataset:
        """Return the dataset.

        Raises
        ------
        DatasetError
            With file, array and row of what is not as it is said to be.
        DataUnavailableError
            If there is no such file.
        """
        arrays = self._arrays()
        divided = f"{self.x}_test" in arrays
        joined = {name: self._joined(arrays, name, divided=divided) for name in self._wanted()}
        x, y = self._inputs(joined[self.x]), joined[self.y]
        for name, values in joined.items():
            if len(values) != len(x):
                raise self._wrong(name, f"{len(values)} rows", f"{len(x)}, as {self.x} has", "mend the file")
        owners, names = (None, ()) if self.client is None else self._codes(self.client, joined[self.client], None)
        held = np.arange(len(x)) >= len(arrays[self.x]) if divided else held_rows(owners, len(x), self.test)
        labels, classes, class_names, objective = self._labels(y, x)
        rows = FileRows(self.path, x, labels, classes, owners, names, class_names, objective)
        return rows.dataset(held, scaled=self.standardise and not self.text)

    def _wanted(self) -> tuple[str, ...]:
        return (self.x, self.y) if self.client is None else (self.x, self.y, self.client)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that are asked for, and those of the test if there are any."""
        refuse_large(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                sizes = {each.filename.removesuffix(".npy"): each.file_size for each in archive.infolist()}
            wanted = [name for each in self._wanted() for name in (each, f"{each}_test") if name in sizes]
            if (whole := sum(sizes[name] for name in wanted)) > MOST_BYTES:
                raise DatasetError(
                    f"{self.path}: got {whole} bytes of arrays, expected at most {MOST_BYTES}; take a part"
                )
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in wanted}
        except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(
                f"{self.path}: got no npz file of plain arrays ({error}), expected one as numpy.savez writes it"
                " without objects; store numbers and texts, or write it again"
            ) from error
        for name in self._wanted():
            if name not in arrays:
                raise DatasetError(
                    f"{self.path}: got no array {name!r}, expected it among {', '.join(sorted(sizes)) or '(none)'};"
                    " name the one that is meant"
                )
            if f"{self.x}_test" in arrays and f"{name}_test" not in arrays:
                raise DatasetError(f"{self.path}: got {self.x}_test and no {name}_test, expected both; add it")
        for name, array in arrays.items():
            if array.dtype.kind not in _KINDS or not array.size:
                raise self._wrong(
                    name, f"{array.dtype} of shape {array.shape}", "rows of numbers or text", "store these"
                )
        return arrays

    def _inputs(self, x: NDArray[Any]) -> NDArray[np.float32]:
        if x.dtype.kind == "U" or x.ndim < 2:  # noqa: PLR2004 - rows and at least one input
            raise self._wrong(self.x, f"{x.dtype} of shape {x.shape}", "numbers of shape (rows, ...)", "store these")
        refuse_many(self.path, len(x), int(np.prod(x.shape[1:])))
        if self.text and (x.dtype.kind not in _WHOLE or x.ndim != 2 or (x.size and x.min() < 0)):  # noqa: PLR2004
            raise self._wrong(self.x, f"{x.dtype} of shape {x.shape}", "character numbers from 0 on, (rows, context)",
                              "store these, or leave out 'text'")  # fmt: skip
        wrong = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
        if len(wrong):
            raise self._wrong(
                f"{self.x}[{wrong[0]}]", "a value that is not finite", "numbers", "mend it, or leave it out"
            )
        return shaped(self.path, x.astype(np.float32), self.shape)

    def _labels(
        self, y: NDArray[Any], x: NDArray[np.float32]
    ) -> tuple[Ints | NDArray[np.float32], int, tuple[str, ...], str]:
        """Return labels, how many classes or numbers, names of classes, and the objective."""
        if y.dtype.kind == "f" and not self.text:
            wrong = np.flatnonzero(~np.isfinite(y).reshape(len(y), -1).all(axis=1))
            if len(wrong):
                raise self._wrong(f"{self.y}[{wrong[0]}]", "a value that is not finite", "numbers", "mend it")
            numbers = y.astype(np.float32).reshape(len(y), -1)
            return numbers, numbers.shape[1], (), "regression"
        if y.dtype.kind == "U" and not self.text:
            codes, values = self._codes(self.y, y, MOST_CLASSES)
            return codes, len(values), values, "cross-entropy"
        if y.dtype.kind not in _WHOLE or y.ndim != 1 or (len(y) and y.min() < 0):
            expected = "whole numbers from 0 on, one for each row"
            raise self._wrong(
                self.y, f"{y.dtype} of shape {y.shape}", expected, "store classes so, or numbers as floats"
            )
        if self.text:
            return y.astype(np.int64), 1 + int(max(y.max(), x.max())), (), "next-character"
        classes = 1 + int(y.max())
        if classes > MOST_CLASSES:
            raise self._wrong(self.y, f"the class {classes - 1}", f"below {MOST_CLASSES}", "store numbers as floats")
        return y.astype(np.int64), classes, (), "cross-entropy"

    def _codes(self, name: str, values: NDArray[Any], most: int | None) -> tuple[Ints, tuple[str, ...]]:
        if values.ndim != 1 or values.dtype.kind == "f":
            raise self._wrong(name, f"{values.dtype} of shape {values.shape}", "one whole number or text for each row",
                              "store these")  # fmt: skip
        known, codes = np.unique(values, return_inverse=True)
        if most is not None and len(known) > most:
            raise self._wrong(name, f"{len(known)} different values", f"at most {most}", "store numbers as floats")
        return codes.astype(np.int64), tuple(str(value) for value in known.tolist())

    def _joined(self, arrays: dict[str, NDArray[Any]], name: str, *, divided: bool) -> NDArray[Any]:
        """Return an array with that of the test behind it, if there is one."""
        train = arrays[name]
        if not divided:
            return train
        test = arrays[f"{name}_test"]
        if train.shape[1:] != test.shape[1:] or _kind(train) != _kind(test):
            expected = f"{_rows_of(train)}, as {name} has"
            raise self._wrong(f"{name}_test", _rows_of(test), expected, "mend the file")
        return np.concatenate([train, test])

    def _wrong(self, name: str, got: str, expected: str, remedy: str) -> DatasetError:
        return DatasetError(f"{self.path}: array {name}: got {got}, expected {expected}; {remedy}")


def _kind(array: NDArray[Any]) -> str:
    """Return what an array holds."""
    return {"U": "text", "f": "fractions"}.get(array.dtype.kind, "whole numbers")


def _rows_of(array: NDArray[Any]) -> str:
    """Return what an array holds, and in which shape, as messages say it."""
    return f"{_kind(array)} in rows of shape {array.shape[1:]}"
