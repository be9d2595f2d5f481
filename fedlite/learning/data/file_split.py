"""Rows of a file -> a dataset: which of them are the test, and inputs standardised by the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.images import standardise
from fedlite.rng import stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST_VALUES: Final = 1_000_000_000
"""Numbers of a dataset: four gigabytes."""


@dataclass(frozen=True, eq=False)
class FileRows:
    """What a file holds, before it is divided.

    Attributes
    ----------
    path : Path
    x : array, shape (rows, *input_shape)
    y : array, shape (rows,) of classes or (rows, numbers)
    classes : int
        Classes, or numbers of a row.
    owners : int64 array, shape (rows,), optional
        Whose each row is.
    client_names, class_names : tuples of str
    objective : str
    """

    path: Path
    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]
    classes: int
    owners: Ints | None
    client_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    objective: str = "cross-entropy"

    def dataset(self, held: NDArray[np.bool_], *, scaled: bool) -> Dataset:
        """Return the dataset whose test is the rows `held`, shape (rows,)."""
        if held.all() or not held.any():
            raise DatasetError(
                f"{self.path}: got {int(held.sum())} test rows of {len(held)}, expected some of both kinds;"
                " change 'test', or the column that says it"
            )
        x_train, x_test = self.x[~held], self.x[held]
        if scaled:
            x_train, x_test = standardise(x_train, x_test)
        return Dataset(
            name=self.path.name,
            x_train=x_train,
            y_train=self.y[~held],
            x_test=x_test,
            y_test=self.y[held],
            client_train=None if self.owners is None else self.owners[~held],
            client_test=None if self.owners is None else self.owners[held],
            num_classes=self.classes,
            input_shape=self.x.shape[1:],
            licence="as stated by whoever made the file",
            source=str(self.path),
            client_names=self.client_names,
            class_names=self.class_names,
            objective=self.objective,
            standardised=scaled,
        )


def held_rows(owners: Ints | None, rows: int, share: float) -> NDArray[np.bool_]:
    """Return which rows are the test: a share of each owner's, at random, and of all rows if there are no owners.

    The draw is of the file alone, so that runs of every seed are judged by the same rows. An owner keeps a row to train
    on; one with too few for a whole test row has none.
    """
    held = np.zeros(rows, dtype=bool)
    for owner, of_owner in enumerate(rows_by_owner(owners, rows)):
        count = min(round(share * len(of_owner)), len(of_owner) - 1)
        held[stream(0, "held-out rows", owner).permutation(of_owner)[:count]] = True
    return held


def rows_by_owner(owners: Ints | None, rows: int) -> list[Ints]:
    """Return the rows of each owner, ascending; all rows as one owner's if there are no owners."""
    if owners is None:
        return [np.arange(rows)]
    order = np.argsort(owners, kind="stable")
    _, starts = np.unique(owners[order], return_index=True)
    return np.split(order, starts[1:])


def refuse_many(path: Path, rows: int, inputs: int) -> None:
    """Raise an error that says so if there are more numbers than are held in memory."""
    if rows * inputs > MOST_VALUES:
        raise DatasetError(
            f"{path}: got {rows} rows of {inputs} inputs, expected at most {MOST_VALUES} numbers, which are held in"
            " memory; take a part of the rows"
        )


def shaped(path: Path, x: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return rows in the shape of a sample, if one is given."""
    inputs = int(np.prod(x.shape[1:]))
    if not shape:
        return x
    if int(np.prod(shape)) != inputs:
        raise DatasetError(
            f"{path}: shape: got {list(shape)}, which is {int(np.prod(shape))} numbers, expected one for each of the"
            f" {inputs} inputs of a row; change it, or the features"
        )
    return x.reshape(len(x), *shape)
