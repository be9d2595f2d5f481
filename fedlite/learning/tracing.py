"""A torch model into a `Workload`: what one forward pass really executes, operator by operator.

The model is run, not read: hooks know which module is active, a dispatch mode sees every operator with its real shapes,
and autograd is asked what it keeps. Pruned, sliced, factorised and user-written models need no special case.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch

from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError
from fedlite.learning.frozen import Asked, backward_products, frozen_weights
from fedlite.learning.operator_log import OperatorLog, Record
from fedlite.learning.saved import ModuleStack, saved_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

    from fedlite.learning.saved import Place


class TraceError(FedliteError):
    """The model does not accept an input of this shape."""


def trace(model: nn.Module, input_shape: tuple[int, ...], *, name: str, dtype: torch.dtype | None = None) -> Workload:
    """Return the work of one forward pass of one sample.

    The model is left as it was: mode, buffers, gradients and torch's random state.

    Parameters
    ----------
    model : nn.Module
        Any module that takes one tensor (batch, *input_shape).
    input_shape : tuple of int
        Shape of one sample.
    name : str
        Name of the workload.
    dtype : torch.dtype, optional
        Type of the input; by default that of the first parameter.

    Returns
    -------
    Workload
        Layers in execution order. Elements are scalars of the model's own type; what autograd saves in another type
        (64-bit pooling indices, boolean masks) counts by its bytes. `saved_elements` grows in proportion to the batch;
        what does not (a pruned weight, say) is left out. `frozen`, `backward` and `input_gradient` tell what is not
        trained.

    Raises
    ------
    TraceError
        If the forward pass refuses the input.
    """
    parameter = next(model.parameters(), torch.zeros(()))
    kind = dtype or parameter.dtype

    def samples(batch: int) -> torch.Tensor:
        return torch.zeros((batch, *input_shape), dtype=kind, device=parameter.device)

    with _undisturbed(model), _refusals_told(model, input_shape):
        log = _forward(model, samples(1))
        # The slope between two batches is what one more sample keeps. Two and three, for batch normalisation
        # refuses a single value per channel.
        saved = [saved_bytes(model, samples(batch)) for batch in (2, 3)]
        frozen = sum(frozen_weights(model).values())
        products = backward_products(model, samples(1)) if frozen else {}
    growth = {place: (size - saved[0].get(place, 0)) / parameter.element_size() for place, size in saved[1].items()}
    layers = _layers(log, growth, products)
    unused = sum(p.numel() for p in model.parameters() if p.requires_grad) - sum(layer.params for layer in layers)
    unread = frozen - sum(layer.frozen for layer in layers)
    if unused or unread:
        layers.append(Layer("(unused parameters)", OpClass.ELEMENTWISE, 0, unused, 0, 0, 0, 0, frozen=unread))
    peak = math.ceil(log.peak_bytes() / parameter.element_size())
    return Workload(name, tuple(input_shape), tuple(layers), peak, _steps(model, input_shape, name, kind))


def _steps(
    model: nn.Module, input_shape: tuple[int, ...], name: str, dtype: torch.dtype
) -> tuple[tuple[float, Workload], ...]:
    """Return the traces of what a net runs in training, if it says by `step_nets` that it draws a part."""
    parts = getattr(model, "step_nets", None)
    if not callable(parts):
        return ()
    return tuple((often, trace(net, input_shape, name=name, dtype=dtype)) for often, net in parts())


@contextmanager
def _refusals_told(model: nn.Module, input_shape: tuple[int, ...]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise TraceError(
            f"got input shape {tuple(input_shape)} for {type(model).__name__}, which refuses it ({error}); "
            "expected the shape of one sample without the batch; mend the shape or the model"
        ) from error


def _forward(model: nn.Module, inputs: torch.Tensor) -> OperatorLog:
    model.eval()  # torch's switch: one sample has no batch statistics, and the caller's are not to change
    stack = ModuleStack(model)
    log = OperatorLog(model, inputs, stack)
    with torch.no_grad(), stack, log.calls, log:
        output = model(inputs)
    log.keep(output)
    return log


def _layers(log: OperatorLog, growth: dict[Place, float], products: dict[Place, list[Asked]]) -> list[Layer]:
    """Return the recorded operators as layers; what a module call saves goes to its costliest operator."""
    records = list(log.merged())
    backward = _backward(records, products)
    keeper: dict[Place, int] = {}
    for index, record in enumerate(records):
        if record.place not in keeper or record.work.macs > records[keeper[record.place]].work.macs:
            keeper[record.place] = index
    saved = {keeper[place]: math.ceil(size) for place, size in growth.items() if place in keeper}
    layers = [
        _layer(name, records[i], saved.get(i, 0), backward[i])
        for i, name in enumerate(_numbered(record.name for record in records))
    ]
    # Modules that run only in training, such as dropout.
    return layers + [
        Layer(f"{place[0] or '(model)'} (training)", OpClass.ELEMENTWISE, 0, 0, 0, 0, 0, math.ceil(size))
        for place, size in growth.items()
        if place not in keeper and size > 0
    ]


def _backward(records: Sequence[Record], products: dict[Place, list[Asked]]) -> list[Asked]:
    """Return what is asked of each operator; everything where torch took another way when asked for it."""
    multiplying = Counter(record.place for record in records if record.work.macs)
    wanted = {place: iter(found) for place, found in products.items() if len(found) == multiplying[place]}
    return [
        next(wanted[record.place]) if record.work.macs and record.place in wanted else _WHOLE_BACKWARD
        for record in records
    ]


_WHOLE_BACKWARD = Asked(products=2, of_input=True)


def _numbered(names: Iterable[str]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}#{seen[name]}"


def _layer(name: str, record: Record, saved: int, backward: Asked) -> Layer:
    work = record.work
    return Layer(
        name=name,
        op=work.op,
        macs=work.macs,
        params=record.params,
        weights=work.weights,
        in_elements=work.in_elements,
        out_elements=record.out_elements,
        saved_elements=saved,
        kernel=work.kernel,
        stride=work.stride,
        in_channels=work.in_channels,
        out_channels=work.out_channels,
        groups=work.groups,
        steps=work.steps,
        per_step=record.per_step,
        frozen=record.frozen,
        backward=backward.products,
        input_gradient=backward.of_input,
    )


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Give buffers, training flags and the random state back as they were."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            for module, training in modes.items():
                module.training = training


__all__ = ["TraceError", "trace"]
