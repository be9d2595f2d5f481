"""Which output channels of which layers reach which input channels of which others, found by running the net.

Each layer is replaced by a stub that puts out constants of the right shape. Some of its channels are marked: they are
NaN, which every operation between two layers hands on, whatever it is. The channels that are NaN where they enter
the next stub are those that depend on the marked ones. A row of the batch is one experiment, and each layer needs few
of them: in experiment b those channels are marked whose number has bit b, in another those that have not. Where an
input depends on one channel this spells its number; where it depends on several, the layer's channels are marked one by
one.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from fedlite.compression.channels.layers import Layer, Role, layers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from fedlite.compression.channels.groups import Marks

ROWS: Final = 31
"""Experiments at once. A prime, to tell a layer that has folded steps into the batch from one that has turned it."""
INPUT: Final = "the input of the net"
OUTPUT: Final = "the output of the net"


class Probe:
    """A net in which every layer is a stub.

    Parameters
    ----------
    net : nn.Module
        Copied.
    input_shape : tuple of int
        Of one sample.

    Attributes
    ----------
    layers : list of Layer
        Those that the net runs.
    """

    def __init__(self, net: nn.Module, input_shape: tuple[int, ...]) -> None:
        self._net = copy.deepcopy(net).float().eval()  # torch's switch: nothing drops out, batch statistics stay
        self._shape = input_shape
        self._templates: dict[str, list[Any]] = defaultdict(list)
        self._calls: dict[str, int] = {}
        self._marked: list[tuple[str, Marks]] = []
        self._seen: dict[str, Marks] = {}
        every = layers_of(self._net)
        self._run_clean(every)
        self.layers = [layer for layer in every if layer.name in self._templates]
        self.idle = [layer for layer in every if layer.name not in self._templates]
        """Layers that the net does not call: it may use their weights in ways that nobody sees."""
        for layer in self.layers:
            layer.module.forward = self._stub(layer)

    def reached(self, source: str, channels: int) -> dict[str, Marks]:
        """Return for each layer (or `OUTPUT`) that a source reaches which inputs depend on which of its channels.

        Parameters
        ----------
        source : str
            A layer's name, or `INPUT`.
        channels : int
            How many it has; 1 stands for all of them together.

        Returns
        -------
        dict
            Bool (channels, inputs); an opaque layer and the output count as one input.
        """
        codes = _binary(channels)
        found = self._experiments(source, codes)
        if channels > 1 and any(_several(seen) for seen in found.values()):
            codes = np.eye(channels, dtype=np.bool_)
            found = self._experiments(source, codes)
        return {name: _decoded(codes, seen) for name, seen in found.items()}

    def _experiments(self, source: str, codes: Marks) -> dict[str, Marks]:
        found: dict[str, Marks] = {}
        for first in range(0, len(codes), ROWS):
            block = codes[first : first + ROWS]
            self._marked = [(source, row) for row in block]
            for name, seen in self._run().items():
                whole = found.setdefault(name, np.zeros((len(codes), seen.shape[1]), np.bool_))
                whole[first : first + len(block)] = seen[: len(block)]
        return {name: seen for name, seen in found.items() if seen.any()}

    def _run(self) -> dict[str, Marks]:
        self._calls, self._seen = {}, {}
        rows = torch.zeros((ROWS, *self._shape))
        for row, (source, mask) in enumerate(self._marked):
            if source == INPUT and mask.any():
                rows[row] = torch.nan
        with torch.no_grad():
            self._see(OUTPUT, self._net(rows), None)
        return self._seen

    def _run_clean(self, layers: Sequence[Layer]) -> None:
        """Let the net run as it is and keep what each layer puts out: shapes, and what is no float."""

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda _module, _inputs, output: self._templates[name].append(_mapped(_template, output))

        hooks = [layer.module.register_forward_hook(keep(layer.name)) for layer in layers]
        with torch.no_grad():
            self._net(torch.zeros((ROWS, *self._shape)))
        for hook in hooks:
            hook.remove()

    def _stub(self, layer: Layer) -> Callable[..., Any]:
        def forward(*inputs: Any, **named: Any) -> Any:
            self._see(layer.name, [inputs, named], None if layer.role is Role.OPAQUE else layer.axis)
            if layer.role is Role.RELAY and layer.is_norm:
                return inputs[0].clone()  # the net may rectify it in place
            call = self._calls[layer.name] = self._calls.get(layer.name, -1) + 1
            fresh = _mapped(_filled, self._templates[layer.name][call])
            if layer.role is Role.RELAY:
                return _with(fresh, _marks(inputs[0], layer.axis), layer.axis)
            mine = [mask if source == layer.name else np.zeros(1, np.bool_) for source, mask in self._marked]
            if not any(mask.any() for mask in mine):
                return fresh
            if layer.role is Role.OPAQUE:
                return _mapped(lambda value: _with(value, np.stack([[mask.any()] for mask in mine]), None), fresh)
            return _with(fresh, np.stack([np.broadcast_to(mask, layer.outputs) for mask in mine]), layer.axis)

        return forward

    def _see(self, name: str, value: Any, axis: int | None) -> None:
        for tensor in tensors(value):
            seen = _marks(tensor, axis)
            self._seen[name] = self._seen[name] | seen if name in self._seen else seen


def _binary(channels: int) -> Marks:
    """Return (experiments, channels): each bit of a channel's number, then the contrary of each."""
    bits = max(1, (channels - 1).bit_length())
    set_ = (np.arange(channels)[None, :] >> np.arange(bits)[:, None]) % 2 == 1
    return np.concatenate([set_, ~set_])


def _several(seen: Marks) -> bool:
    """Tell whether any input answers to a bit and to its contrary."""
    bits = len(seen) // 2
    return bool((seen[:bits] & seen[bits:]).any())


def _decoded(codes: Marks, seen: Marks) -> Marks:
    """Return (channels, inputs): the channels in all of whose experiments the input was marked."""
    missed = np.asarray(codes.T.astype(np.float32) @ (~seen).astype(np.float32))
    return np.asarray(np.logical_and(missed == 0, seen.any(axis=0)), np.bool_)


def _marks(tensor: Tensor, axis: int | None) -> Marks:
    """Return (ROWS, channels) of which channels are NaN anywhere; without an axis the whole row is one channel."""
    nan = tensor.isnan().numpy()
    if nan.ndim <= (axis or 0):
        nan = nan.reshape(1, -1)
    rows = len(nan)
    flat = nan.reshape(rows, -1, 1) if axis is None else np.moveaxis(nan, axis, -1).reshape(rows, -1, nan.shape[axis])
    any_ = flat.any(axis=1)
    if rows % ROWS:  # the batch lies elsewhere: every experiment may be meant
        return np.broadcast_to(any_.any(axis=0), (ROWS, any_.shape[1]))
    return np.asarray(any_.reshape(ROWS, rows // ROWS, -1).any(axis=1), np.bool_)


def _with(tensor: Tensor, marks: Marks, axis: int | None) -> Tensor:
    """Return a tensor with NaN in the marked channels, marks (experiments, channels or 1)."""
    if not torch.is_floating_point(tensor) or not marks.any():
        return tensor
    full = np.zeros((ROWS, marks.shape[1]), np.bool_)
    full[: len(marks)] = marks
    if tensor.shape[0] % ROWS:  # as above
        full = np.broadcast_to(full.any(axis=0), full.shape)[:1].repeat(tensor.shape[0], axis=0)
    each = torch.from_numpy(np.repeat(full, tensor.shape[0] // len(full), axis=0))
    if axis is None or axis == 1:
        each = each.reshape(*each.shape, *(1,) * (tensor.ndim - 2))
    else:
        each = each.reshape(each.shape[0], *(1,) * (tensor.ndim - 2), each.shape[1])
    return tensor.masked_fill(each, torch.nan)


def _template(value: Tensor) -> Tensor:
    """Return what is needed to make such a tensor again."""
    return value.detach().to("meta") if torch.is_floating_point(value) else value.detach().clone()


def _filled(template: Tensor) -> Tensor:
    """Return constants between 1 and 2: nothing dies in a rectifier, and no two are equal."""
    if not template.is_meta:
        return template.clone()
    one = torch.linspace(1.0, 2.0, max(1, template[:1].numel())).reshape(template[:1].shape)
    return one.expand(template.shape).clone()


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_mapped(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in what a layer gets or gives: tuples, lists and dicts of them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
