"""What an objective is: a loss for each sample, and the metrics by which a model is judged."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Array = NDArray[Any]

SHARE = "share"
"""Unit of numbers between 0 and 1 that people read as a percentage."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class MisfitError(FedliteError):
    """A model's output or a data set's labels are not what an objective can learn from."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is.

    Attributes
    ----------
    name : str
        Name of its column in the tables: small letters, digits and underscores.
    goal : str
        "max" if more is better, "min" if less is.
    unit : str
        "share" for numbers between 0 and 1; a unit of the data, or empty for a plain number.
    """

    name: str
    goal: Literal["max", "min"]
    unit: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FedliteError(f"metric: got the name {self.name!r}, expected small letters, digits and underscores")
        if self.goal not in ("max", "min"):
            raise FedliteError(f"metric {self.name!r}: got the goal {self.goal!r}, expected 'max' or 'min'")


LOSS = Metric("loss", "min")
"""The mean loss per sample, which every objective has; the main metric where nothing better is told."""


def columns_of(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Return the names of what an evaluation tells: the main metric, the loss, and the other metrics."""
    return tuple(dict.fromkeys((metrics[0].name, LOSS.name, *(metric.name for metric in metrics))))


class Objective(ABC):
    """A loss and its metrics. It holds no state: one instance serves every client.

    Attributes
    ----------
    name : str
        What messages call it.
    metrics : tuple of Metric
        What `summary` returns; the first is the main one, by which runs are compared.
    cites : tuple of str
        Keys of its sources in the bibliography of the report.
    """

    name: str
    metrics: tuple[Metric, ...]
    cites: tuple[str, ...] = ()

    @property
    def main(self) -> Metric:
        """The metric by which runs are compared."""
        return self.metrics[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what an evaluation tells: the main metric, the loss, and the other metrics."""
        return columns_of(self.metrics)

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what is learned from a batch of inputs (N, *sample) and labels (N, *label): the labels."""
        return y

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape (N,); their mean is what training makes small."""

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what evaluation keeps of each sample, shape (N, ...): little, such as the predicted class."""

    @abstractmethod
    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return the value of every metric over N > 0 samples.

        Parameters
        ----------
        scores : array (N, ...)
            What `score` returned.
        targets : array (N, ...)
            What `targets` returned.
        losses : float64 array (N,)
            What `losses` returned.
        """

    @abstractmethod
    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless a model's output and the targets fit.

        Parameters
        ----------
        output_shape, target_shape : tuple of int
            Of one sample, without the batch.
        target_dtype : str
            Such as "int64".
        num_classes : int
            Classes (or outputs) that the data set tells of.
        """
