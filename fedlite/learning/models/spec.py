"""How the net of a run is built, as plain values: the same in the driver and in every worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fedlite.compression.part import PartError, from_record
from fedlite.learning import models
from fedlite.learning.models.layers.base import Layers

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
    layers : Layers, optional
        What puts other layers in the place of the factory's.
    """

    name: str
    input_shape: tuple[int, ...]
    num_classes: int
    seed: int
    width: float = 1.0
    params: tuple[tuple[str, Any], ...] = ()
    layers: Layers | None = None

    def build(self, share: float = 1.0) -> nn.Module:
        """Return the net at a share of its width, freshly initialised, the same bits each time.

        Raises
        ------
        PartError
            If layers are replaced and a slice is asked for, of which the full net's layers are no extension.
        """
        net = models.build(
            self.name,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            width=share * self.width,
            seed=self.seed,
            **dict(self.params),
        )
        return net if self.layers is None else self._replaced(net, self.layers, share)

    def _replaced(self, net: nn.Module, layers: Layers, share: float) -> nn.Module:
        from fedlite.learning.models.seeding import seeded

        if share != 1.0:
            raise PartError(
                f"width: got a slice of {share:g} of a model with layers {layers.name!r}, expected the whole of it;"
                " train it at full width, or leave the layers out"
            )
        with seeded(self.seed, "layers", layers.name):
            return layers.replace(net)

    def varied(self, params: Mapping[str, Any]) -> ModelSpec:
        """Return the specification with other arguments of the factory."""
        fields = {**dict(self.params), **{name: _hashable(value) for name, value in params.items()}}
        return replace(self, params=tuple(sorted(fields.items())))

    @property
    def record(self) -> dict[str, Any]:
        """The specification as JSON values."""
        plain = {**vars(self), "input_shape": list(self.input_shape), "params": [list(pair) for pair in self.params]}
        layers = plain.pop("layers")
        return plain if layers is None else {**plain, "layers": layers.record}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ModelSpec:
        """Return the specification that `record` described."""
        fields = dict(record)
        params = tuple((name, _hashable(value)) for name, value in fields.pop("params"))
        layers = fields.pop("layers", None)
        return cls(
            **{**fields, "input_shape": tuple(fields["input_shape"])},
            params=params,
            layers=None if layers is None else from_record(layers, Layers),  # type: ignore[type-abstract]
        )


def spec_of(
    name: str, input_shape: tuple[int, ...], num_classes: int, seed: int, width: float = 1.0, **params: Any
) -> ModelSpec:
    """Return the specification of a net with the factory's further arguments given by name."""
    fields = tuple((key, _hashable(value)) for key, value in sorted(params.items()))
    return ModelSpec(name, tuple(input_shape), num_classes, seed, width, fields)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
