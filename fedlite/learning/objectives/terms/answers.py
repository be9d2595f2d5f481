"""What nets say of a batch: their outputs, and the features of layers that somebody looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedlite.compression.part import PartError
from fedlite.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn


@dataclass(frozen=True)
class Answer:
    """What a net says of a batch.

    Attributes
    ----------
    outputs : Tensor
        (B, ...).
    features : mapping
        Name of a layer -> its output, (B, ...), of the layers that were asked for.
    """

    outputs: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Watch:
    """Layers of a net whose outputs are kept while it answers; nothing is watched in between.

    Parameters
    ----------
    net : nn.Module
    layers : sequence of str
        Names of modules, as `net.named_modules()` has them.

    Raises
    ------
    PartError
        If the net has no layer of a name.
    """

    def __init__(self, net: nn.Module, layers: Sequence[str]) -> None:
        self._layers = {name: _layer(net, name) for name in layers}

    def answer(self, call: Callable[[], Tensor]) -> Answer:
        """Return what the net says where `call` lets it answer, with the features of the layers."""
        if not self._layers:
            return Answer(call())
        features: dict[str, Tensor] = {}
        handles = [layer.register_forward_hook(_keeping(features, name)) for name, layer in self._layers.items()]
        try:
            return Answer(call(), features)
        finally:
            for handle in handles:
                handle.remove()


class Teacher:
    """A net that is a constant, asked about one batch: at most one forward pass, made when somebody asks.

    Parameters
    ----------
    net : callable
        Returns the net, in the state of evaluation, without gradients.
    layers : sequence of str
        Names of its layers that somebody looks at.
    inputs : Tensor
        (B, ...).
    """

    def __init__(self, net: Callable[[], nn.Module], layers: Sequence[str], inputs: Tensor) -> None:
        self._net = net
        self._layers = layers
        self._inputs = inputs

    @cached_property
    def answer(self) -> Answer:
        """What it says of the batch; constants."""
        import torch

        net = self._net()
        with torch.no_grad():
            return Watch(net, self._layers).answer(lambda: net(self._inputs))

    def outputs_with(self, layer: str, features: Tensor) -> Tensor:
        """Return what it would say if a layer had given these features; their gradient passes through what follows."""
        net = self._net()
        handle = _layer(net, layer).register_forward_hook(lambda *_: features)
        try:
            outputs: Tensor = net(self._inputs)
        finally:
            handle.remove()
        return outputs


def _layer(net: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = {each: module for each, module in net.named_modules() if each}
    if name not in modules:
        near = nearest(name, modules)
        remedy = f"write {near!r}" if near else "write one of them"
        raise PartError(f"layer: got {name!r}, expected one of {', '.join(modules)}; {remedy}")
    return modules[name]


def _keeping(features: dict[str, Tensor], name: str) -> Callable[[Any, Any, Any], None]:
    from torch import Tensor

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise PartError(
                f"layer: got {name!r}, whose output is a {type(output).__name__}, expected a layer that gives one"
                " tensor; write another"
            )
        features[name] = output

    return keep
