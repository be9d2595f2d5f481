"""A small compiler: from a module made of known layers to a program that runs K clients' copies of it at once.

The module is traced once with `torch.fx`; every node must be in one of three tables (layers, functions, methods), or
the module is refused with the reason. A ReLU before a max pooling is moved behind it, where there is less of it; values
and gradients are the same, because the maximum of a monotone function is the function of the maximum.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from fedlite.learning.training.stacked_layers import LAYERS, unsupported_setting
from fedlite.learning.training.stacked_value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class UnsupportedModelError(Exception):
    """The module holds something that K clients cannot run together here. Never leaves this package."""


@dataclass(frozen=True)
class Instruction:
    """One step: `target = apply(parameters of prefix, values of sources)`."""

    target: str
    sources: tuple[str, ...]
    prefix: str
    layer: nn.Module | None
    apply: Callable[..., Value]


class Program:
    """What a module does, for K clients at once.

    Attributes
    ----------
    instructions : list of Instruction
        In order of execution.
    """

    def __init__(self, instructions: list[Instruction], source: str, result: str) -> None:
        self.instructions = instructions
        self._source = source
        self._result = result
        self._names = {
            step.prefix: [name for name, _ in step.layer.named_parameters(recurse=False)]
            for step in instructions
            if step.layer is not None
        }
        self._last_use = _last_uses(instructions, result)

    @property
    def layers(self) -> list[nn.Module]:
        """The layers in order of execution; functions are left out."""
        return [step.layer for step in self.instructions if step.layer is not None]

    def __call__(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return the logits (K, B, classes) for inputs (K, B, *sample) under parameters {name: (K, *shape)}."""
        values = {self._source: Value(inputs, inputs.shape[0])}
        for step, finished in zip(self.instructions, self._last_use, strict=True):
            values[step.target] = self._run(step, parameters, values)
            for name in finished:
                del values[name]
        return values[self._result].stacked().tensor

    def widest(self, inputs: Tensor, parameters: Mapping[str, Tensor]) -> int:
        """Return the numbers in the largest activation for these inputs."""
        values = {self._source: Value(inputs, inputs.shape[0])}
        largest = inputs.numel()
        with torch.no_grad():
            for step in self.instructions:
                values[step.target] = self._run(step, parameters, values)
                largest = max(largest, values[step.target].tensor.numel())
        return largest

    def _run(self, step: Instruction, parameters: Mapping[str, Tensor], values: Mapping[str, Value]) -> Value:
        arguments = [values[name] for name in step.sources]
        if step.layer is None:
            return step.apply(*arguments)
        own = {name: parameters[f"{step.prefix}.{name}"] for name in self._names[step.prefix]}
        return step.apply(step.layer, own, *arguments)


def compile_program(module: nn.Module) -> Program:
    """Return the stacked program of a module.

    Raises
    ------
    UnsupportedModelError
        If the module cannot be traced or holds something outside the tables; the text says what.
    """
    graph = _trace(module)
    instructions: list[Instruction] = []
    source = result = ""
    for node in graph.nodes:
        if node.op == "placeholder":
            if source:
                raise UnsupportedModelError("more than one input")
            source = node.name
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise UnsupportedModelError("more than one output")
            result = node.args[0].name
        else:
            instructions.append(_instruction(module, node))
    return Program(_relu_after_pool(instructions, result), source, result)


def _trace(module: nn.Module) -> fx.Graph:
    if any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules()):  # noqa: SLF001
        raise UnsupportedModelError("hooks on its layers")
    try:
        graph: fx.Graph = fx.Tracer().trace(module)
    except (fx.proxy.TraceError, TypeError, NotImplementedError, RuntimeError) as error:
        raise UnsupportedModelError(f"its forward pass cannot be traced ({error})") from error
    return graph


def _instruction(module: nn.Module, node: fx.Node) -> Instruction:
    sources = tuple(argument.name for argument in node.all_input_nodes)
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return Instruction(node.name, sources, str(node.target), layer, _layer_function(layer))
    if node.op == "call_function" and node.target in FUNCTIONS:
        return Instruction(node.name, sources, "", None, FUNCTIONS[node.target](node))
    if node.op == "call_method" and node.target in METHODS:
        return Instruction(node.name, sources, "", None, METHODS[node.target](node))
    raise UnsupportedModelError(f"{node.op} {node.target}")


def _layer_function(layer: nn.Module) -> Callable[..., Value]:
    if isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d) and layer.p == 0:
        return LAYERS[nn.Identity]
    if any(True for _ in layer.buffers(recurse=False)):
        raise UnsupportedModelError(f"a layer {type(layer).__name__} with constants, such as frozen weights")
    function = LAYERS.get(type(layer))
    if function is None:
        raise UnsupportedModelError(f"a layer {type(layer).__name__}")
    reason = unsupported_setting(layer)
    if reason is not None:
        raise UnsupportedModelError(f"a layer {type(layer).__name__} with {reason}")
    return function


def _settings(node: fx.Node, known: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a call after its first argument, by name; refuse names that are not known."""
    settings = known | dict(zip(known, node.args[1:], strict=False)) | dict(node.kwargs)
    if set(settings) != set(known) or len(node.args) > 1 + len(known):
        raise UnsupportedModelError(f"{node.target} with unusual arguments")
    return settings


def _flatten(node: fx.Node) -> Callable[..., Value]:
    if _settings(node, {"start_dim": 0, "end_dim": -1}) != {"start_dim": 1, "end_dim": -1}:
        raise UnsupportedModelError("a partial flatten")
    return lambda value: Value(value.stacked().tensor.flatten(2), value.clients)


def _mean(node: fx.Node) -> Callable[..., Value]:
    settings = _settings(node, {"dim": None, "keepdim": False})
    dims = (settings["dim"],) if isinstance(settings["dim"], int) else tuple(settings["dim"] or ())
    if not dims or 0 in dims:
        raise UnsupportedModelError("a mean over the batch")
    shifted = [dim + 1 if dim > 0 else dim for dim in dims]
    return lambda value: Value(value.stacked().tensor.mean(shifted, keepdim=settings["keepdim"]), value.clients)


def _add(node: fx.Node) -> Callable[..., Value]:
    if len(node.all_input_nodes) != 2 or len(node.args) != 2 or node.kwargs:  # noqa: PLR2004
        raise UnsupportedModelError("a sum that is not of two different activations")
    return _sum


def _sum(left: Value, right: Value) -> Value:
    if left.spatial != right.spatial:
        left, right = left.stacked(), right.stacked()
    return left.like(left.tensor + right.tensor)


def _concatenate(node: fx.Node) -> Callable[..., Value]:
    if len(node.args) < 1 or node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0) != 1:
        raise UnsupportedModelError("a concatenation along another axis than the channels")
    return lambda *values: Value(torch.cat([value.stacked().tensor for value in values], dim=2), values[0].clients)


def _relu(node: fx.Node) -> Callable[..., Value]:
    _settings(node, {"inplace": False})
    return lambda value: value.like(value.tensor.relu())


FUNCTIONS: dict[Any, Callable[[fx.Node], Callable[..., Value]]] = {
    torch.flatten: _flatten,
    torch.mean: _mean,
    torch.relu: _relu,
    torch.relu_: _relu,
    F.relu: _relu,
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    torch.cat: _concatenate,
}

METHODS: dict[Any, Callable[[fx.Node], Callable[..., Value]]] = {
    "flatten": _flatten,
    "mean": _mean,
    "relu": _relu,
    "add": _add,
}


def _last_uses(instructions: list[Instruction], result: str) -> list[list[str]]:
    """Return for each instruction the values that nothing after it reads, so that they can be let go."""
    finished: list[list[str]] = []
    read_later = {result}
    for step in reversed(instructions):
        finished.append([name for name in dict.fromkeys(step.sources) if name not in read_later])
        read_later.update(step.sources)
    return finished[::-1]


def _relu_after_pool(instructions: list[Instruction], result: str) -> list[Instruction]:
    """Swap each ReLU whose only reader is a max pooling with that pooling."""
    done = list(instructions)
    for i, (first, second) in enumerate(itertools.pairwise(instructions)):
        readers = sum(first.target in step.sources for step in instructions)
        if (
            isinstance(first.layer, nn.ReLU | nn.ReLU6)
            and isinstance(second.layer, nn.MaxPool1d | nn.MaxPool2d)
            and second.sources == (first.target,)
            and readers == 1
            and first.target != result
        ):
            done[i] = Instruction(first.target, first.sources, second.prefix, second.layer, second.apply)
            done[i + 1] = Instruction(second.target, second.sources, first.prefix, first.layer, first.apply)
    return done
