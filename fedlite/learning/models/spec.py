"""How the net of a run is built, as plain values: the same in the driver and in every worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedlite.learning import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


@dataclass(frozen=True)
class ModelSpec:
    """Arguments of `models.build`.

    Attributes
    ----------
    name : str
    input_shape : tuple of int
    num_classes : int
    seed : int
    width : float
        Of the full net, as a share of the architecture's own.
    params : tuple of (name, value)
        Further arguments of the factory.
    """

    name: str
    input_shape: tuple[int, ...]
    num_classes: int
    seed: int
    width: float = 1.0
    params: tuple[tuple[str, Any], ...] = ()

    def build(self, share: float = 1.0) -> nn.Module:
        """Return the net at a share of its width, freshly initialised, the same bits each time."""
        return models.build(
            self.name,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            width=share * self.width,
            seed=self.seed,
            **dict(self.params),
        )

    @property
    def record(self) -> dict[str, Any]:
        """The specification as JSON values."""
        return {**vars(self), "input_shape": list(self.input_shape), "params": [list(pair) for pair in self.params]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ModelSpec:
        """Return the specification that `record` described."""
        fields = dict(record)
        params = tuple((name, _hashable(value)) for name, value in fields.pop("params"))
        return cls(**{**fields, "input_shape": tuple(fields["input_shape"])}, params=params)


def spec_of(
    name: str, input_shape: tuple[int, ...], num_classes: int, seed: int, width: float = 1.0, **params: Any
) -> ModelSpec:
    """Return the specification of a net with the factory's further arguments given by name."""
    fields = tuple((key, _hashable(value)) for key, value in sorted(params.items()))
    return ModelSpec(name, tuple(input_shape), num_classes, seed, width, fields)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
