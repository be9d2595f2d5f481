"""What one torch operator costs: its class, multiply-accumulates and geometry, read off its real arguments.

One table from ATen operator to a rule, shared by tracing (one model, forward) and counting (arbitrary code, forward
and backward). Operators in no rule are elementwise: they move memory and multiply nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from fedlite.devices.workload import OpClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

aten = torch.ops.aten


@dataclass(frozen=True)
class OpWork:
    """One executed operator, for the whole batch that it was given."""

    op: OpClass
    macs: int = 0
    weights: int = 0
    """Elements of the weight operand, biases excluded."""
    in_elements: int = 0
    """Elements of the activation operand; 0 where every tensor argument is one (elementwise)."""
    kernel: int = 0
    stride: int = 0
    in_channels: int = 0
    out_channels: int = 0
    groups: int = 1
    steps: int = 1


def convolution_class(kernel: Sequence[int], stride: Sequence[int], groups: int) -> OpClass:
    """Return the class of a convolution; `kernel` and `stride` per spatial dimension."""
    if groups > 1:
        return OpClass.DEPTHWISE
    if all(size == 1 for size in kernel):
        return OpClass.CONV1X1
    if all(size == 3 for size in kernel) and all(size == 1 for size in stride):  # noqa: PLR2004 - the 3 of 3x3
        return OpClass.CONV3X3
    return OpClass.CONV_OTHER


def work_of(func: Any, args: Sequence[Any], out: Any) -> OpWork:
    """Return the work of one dispatched ATen operator.

    Parameters
    ----------
    func : torch._ops.OpOverload
        As given to `TorchDispatchMode.__torch_dispatch__`.
    args : sequence
        Its positional arguments.
    out : tensor or tuple
        What it returned.
    """
    rule = _RULES.get(func.overloadpacket)
    return rule(args, out) if rule is not None else OpWork(OpClass.ELEMENTWISE)


def is_factory(func: Any) -> bool:
    """Return whether an operator takes only shape and type from its argument (zeros_like, new_empty and their kin)."""
    name = func.overloadpacket.__name__
    return bool(name.startswith("new_") or name.endswith("_like"))


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested lists and tuples of arguments."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def is_view(func: Any) -> bool:
    """Return whether an operator only looks at its input's memory in another way."""
    returned = [item.alias_info for item in func._schema.returns]  # noqa: SLF001 - no public form
    return bool(returned) and all(alias is not None and not alias.is_write for alias in returned)


def _convolution(args: Sequence[Any], out: Any) -> OpWork:
    inputs, weight, stride, transposed, groups = args[0], args[1], args[3], args[6], args[8]
    kernel = tuple(weight.shape[2:])
    # Each weight meets every output position (every input position if transposed) of every sample once.
    positions = math.prod((inputs if transposed else out).shape[2:]) * inputs.shape[0]
    return OpWork(
        convolution_class(kernel, stride, groups),
        macs=weight.numel() * positions,
        weights=weight.numel(),
        in_elements=inputs.numel(),
        kernel=kernel[0],
        stride=stride[0],
        in_channels=inputs.shape[1],
        out_channels=out.shape[1],
        groups=groups,
    )


def _convolution_backward(args: Sequence[Any], _out: Any) -> OpWork:
    # (grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, mask)
    grad, inputs, weight, stride, transposed, groups, mask = (*args[:3], args[4], args[7], args[9], args[10])
    forward = _convolution((inputs, weight, None, stride, None, None, transposed, None, groups), grad)
    passes = int(bool(mask[0])) + int(bool(mask[1]))
    return OpWork(forward.op, macs=passes * forward.macs, weights=forward.weights, in_elements=forward.in_elements)


def _product(left: Any, right: Any) -> OpWork:
    """Return the work of `left @ right`, the last two dimensions multiplied, leading ones batched."""
    columns = right.shape[-1] if right.dim() > 1 else 1
    real = 4 if left.is_complex() else 1  # a complex product is four real ones
    return OpWork(
        OpClass.LINEAR,
        macs=real * left.numel() * columns,
        weights=right.numel(),
        in_elements=left.numel(),
        in_channels=left.shape[-1],
        out_channels=columns,
    )


def _attention(args: Sequence[Any], _out: Any) -> OpWork:
    query, key, value = args[:3]
    scores = query.numel() * key.shape[-2]
    mixing = math.prod(query.shape[:-1]) * key.shape[-2] * value.shape[-1]
    return OpWork(OpClass.LINEAR, macs=scores + mixing, in_elements=query.numel() + key.numel() + value.numel())


def _attention_backward(args: Sequence[Any], _out: Any) -> OpWork:
    # Scores are recomputed, then three gradients of two products: 5 products against 2 of the forward pass.
    forward = _attention(args[1:4], None)
    return OpWork(OpClass.LINEAR, macs=forward.macs * 5 // 2, in_elements=forward.in_elements)


def _recurrent(args: Sequence[Any], _out: Any) -> OpWork:
    inputs, input_weight, state_weight = args[:3]
    steps, batch = inputs.shape[0], inputs.shape[1]
    weights = input_weight.numel() + state_weight.numel()
    return OpWork(
        OpClass.RECURRENT,
        macs=steps * batch * weights,
        weights=weights,
        in_elements=inputs.numel(),
        in_channels=input_weight.shape[1],
        out_channels=state_weight.shape[1],
        steps=steps,
    )


def _recurrent_backward(args: Sequence[Any], _out: Any) -> OpWork:
    forward = _recurrent(args, None)
    return OpWork(OpClass.RECURRENT, 2 * forward.macs, forward.weights, forward.in_elements, steps=forward.steps)


def _fourier(complex_signal: bool) -> Callable[[Sequence[Any], Any], OpWork]:  # noqa: FBT001 - one switch
    def rule(args: Sequence[Any], out: Any) -> OpWork:
        # The longer side has the whole length: a real signal's transform keeps half of its frequencies.
        signal = args[0] if args[0].numel() >= out.numel() else out
        points = math.prod(signal.shape[dim] for dim in args[1])
        # n/2 log2 n butterflies (Cooley, Tukey 1965) of one complex product, which is four real ones.
        products = 2 * signal.numel() * math.log2(points) * (1.0 if complex_signal else 0.5)
        return OpWork(OpClass.LINEAR, macs=round(products), in_elements=args[0].numel())

    return rule


def _of_class(op: OpClass) -> Callable[[Sequence[Any], Any], OpWork]:
    return lambda args, _out: OpWork(op, in_elements=max(tensor.numel() for tensor in tensors_in(args)))


def _embedding(args: Sequence[Any], out: Any) -> OpWork:
    table, indices = args[:2]
    return OpWork(
        OpClass.EMBEDDING, weights=table.numel(), in_elements=indices.numel(), out_channels=int(out.shape[-1])
    )


_RULES: Final[dict[Any, Callable[[Sequence[Any], Any], OpWork]]] = {
    aten.convolution: _convolution,
    aten.convolution_backward: _convolution_backward,
    aten.mm: lambda args, _out: _product(args[0], args[1]),
    aten.mv: lambda args, _out: _product(args[0], args[1]),
    aten.dot: lambda args, _out: _product(args[0], args[1]),
    aten.bmm: lambda args, _out: _product(args[0], args[1]),
    aten.addmm: lambda args, _out: _product(args[1], args[2]),
    aten.addmv: lambda args, _out: _product(args[1], args[2]),
    aten.addbmm: lambda args, _out: _product(args[1], args[2]),
    aten.baddbmm: lambda args, _out: _product(args[1], args[2]),
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,  # noqa: SLF001 - the operator's own name
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,  # noqa: SLF001 - the same
    aten.mkldnn_rnn_layer: _recurrent,
    aten.mkldnn_rnn_layer_backward: _recurrent_backward,
    aten._fft_r2c: _fourier(complex_signal=False),  # noqa: SLF001 - the operator's own name
    aten._fft_c2r: _fourier(complex_signal=False),  # noqa: SLF001 - the same
    aten._fft_c2c: _fourier(complex_signal=True),  # noqa: SLF001 - the same
    aten.embedding: _embedding,
    aten.native_batch_norm: _of_class(OpClass.NORM),
    aten.native_group_norm: _of_class(OpClass.NORM),
    aten.native_layer_norm: _of_class(OpClass.NORM),
    aten.native_batch_norm_backward: _of_class(OpClass.NORM),
    aten.native_group_norm_backward: _of_class(OpClass.NORM),
    aten.native_layer_norm_backward: _of_class(OpClass.NORM),
}
