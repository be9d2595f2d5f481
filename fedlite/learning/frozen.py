"""Weights that are not trained: which they are, and what of the backward pass they spare.

A frozen weight is there once, without gradient and optimiser state. Of the two products of a layer's backward pass, by
its input and by its weights, the second is not made; the first is, unless nothing before the layer is trained.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fedlite.learning.operators import aten, tensors_in, work_of
from fedlite.learning.saved import ModuleStack, Place, storage_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

_ADDING: Final = {aten.addmm, aten.addmv, aten.addbmm, aten.baddbmm}
"""Operators whose first argument is added to a product of the next two."""
_OPERANDS: Final = 2


def frozen_weights(model: nn.Module) -> dict[int, int]:
    """Return storage -> elements of what a model multiplies with and never trains.

    These are parameters without gradient, and constants of floating point that are in no state dict.
    """
    constants = [
        buffer
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in module._non_persistent_buffers_set and buffer.is_floating_point()  # noqa: SLF001 - no public form
    ]
    fixed = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    return {storage_key(tensor): tensor.numel() for tensor in [*fixed, *constants]}


class Asked(NamedTuple):
    """What the backward pass asks of one operator with multiplications.

    Attributes
    ----------
    products : int
        Two for what is trained (also where the input wants none: that is how whole nets are priced).
    of_input : bool
        Whether a gradient of its input is held at all: not of data, nor where nothing before it is trained.
    """

    products: int
    of_input: bool


def backward_products(model: nn.Module, inputs: torch.Tensor) -> dict[Place, list[Asked]]:
    """Return, by module call, what the backward pass asks of each of its operators with multiplications."""
    model.eval()  # as the forward pass was recorded
    stack = ModuleStack(model)
    wanted = _Wanted(model, stack)
    with torch.enable_grad(), stack, wanted:
        model(inputs)
    return dict(wanted.products)


class _Wanted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, model: nn.Module, stack: ModuleStack) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: dict[Place, list[Asked]] = defaultdict(list)
        self._stack = stack
        self._trained = {storage_key(p) for p in model.parameters() if p.requires_grad}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # spares the import of the compiler, about a second

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operator and note which of its operands want a gradient."""
        out = func(*args, **(kwargs or {}))
        if work_of(func, args, out).macs:
            first = 1 if func.overloadpacket in _ADDING else 0
            operands = list(tensors_in(args[first : first + _OPERANDS]))
            others = [operand for operand in operands if storage_key(operand) not in self._trained]
            asking = sum(operand.requires_grad for operand in others)
            products = asking if len(others) == len(operands) else _OPERANDS
            self.products[self._stack.place].append(Asked(products, asking > 0))
        return out
