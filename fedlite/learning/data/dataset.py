"""What a dataset is: plain numpy arrays, so that they can lie in shared memory and be indexed from any process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DatasetError(FedliteError):
    """A dataset breaks its own rules: shapes, types, labels out of range."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A supervised task with a fixed test split and, where people or devices are recorded, natural clients.

    Raises
    ------
    DatasetError
        If rows and labels differ in number, a type is wrong, or a class lies outside `[0, num_classes)`.
    """

    name: str
    x_train: NDArray[np.float32]
    """Inputs, shape (rows, *input_shape). Character ids are whole numbers in float32, which holds them exactly."""
    y_train: NDArray[np.int64] | NDArray[np.float32]
    """Class of each row, shape (rows,); or its numbers, float32, shape (rows, num_classes)."""
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64] | NDArray[np.float32]
    client_train: NDArray[np.int64] | None
    """Natural owner of each training row, numbered from 0; None if the data records nobody."""
    client_test: NDArray[np.int64] | None
    """Natural owner of each test row, in the same numbering."""
    num_classes: int
    """Classes, or numbers of a row where rows have numbers."""
    input_shape: tuple[int, ...]
    licence: str
    source: str
    client_names: tuple[str, ...] = ()
    """What owner `i` is called, such as "subject 3, side 1"; empty without natural owners."""
    class_names: tuple[str, ...] = ()
    objective: str = "cross-entropy"
    """What the labels ask for, by the name of an objective; a scenario may tell another."""
    person_of_client: NDArray[np.int64] | None = None
    """Who owner `i` is, where one person is several owners (a wrist each); without it every owner is somebody else."""
    standardised: bool = False
    """Whether inputs have zero mean and unit deviation per channel over the training rows; whoever chooses other
    training rows standardises again."""

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            self._check_split(split)
        if (self.client_train is None) != (self.client_test is None):
            raise DatasetError(
                f"dataset {self.name!r}: got owners for one split, expected client_train and client_test or neither"
            )
        self._check_people()

    @property
    def natural_clients(self) -> int:
        """Number of natural owners with training rows; 0 if the data records nobody."""
        return 0 if self.client_train is None else len(np.unique(self.client_train))

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes, and not numbers."""
        return self.y_train.dtype.kind == "i"

    def _check_people(self) -> None:
        if self.person_of_client is None:
            return
        owners = [each for each in (self.client_train, self.client_test) if each is not None]
        most = max((int(each.max()) for each in owners), default=-1)
        if not owners or self.person_of_client.dtype != np.int64 or len(self.person_of_client) <= most:
            raise DatasetError(
                f"dataset {self.name!r}: got person_of_client {self.person_of_client.dtype} "
                f"{self.person_of_client.shape}, expected int64 with a person for each of {most + 1} owners"
            )

    def _check_split(self, split: str) -> None:
        x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
        owners = getattr(self, f"client_{split}")
        where = f"dataset {self.name!r}, {split} split"
        if x.dtype != np.float32 or y.dtype not in (np.int64, np.float32) or y.dtype != self.y_train.dtype:
            raise DatasetError(
                f"{where}: got x {x.dtype} and y {y.dtype}, expected float32, and int64 (classes) or float32 (numbers) "
                "in both splits; use .astype"
            )
        labels = (len(x),) if self.has_classes else (len(x), self.num_classes)
        if x.shape[1:] != tuple(self.input_shape) or y.shape != labels or not len(x):
            raise DatasetError(
                f"{where}: got x {x.shape} and y {y.shape}, expected (rows, *{tuple(self.input_shape)}) and "
                f"{'(rows,)' if self.has_classes else f'(rows, {self.num_classes})'} with at least one row"
            )
        if self.has_classes and (y.min() < 0 or y.max() >= self.num_classes):
            raise DatasetError(
                f"{where}: got labels {y.min()}..{y.max()}, expected 0..{self.num_classes - 1}; renumber the classes"
            )
        if owners is not None and (owners.shape != (len(x),) or owners.dtype != np.int64):
            raise DatasetError(
                f"{where}: got owners {owners.dtype} {owners.shape}, expected int64 {(len(x),)}, one owner per row"
            )
