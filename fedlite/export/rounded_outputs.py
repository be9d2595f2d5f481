"""Outputs of integer layers on 256 levels, for runtimes whose integer kernels write integers.

Where what follows a layer is only a rectifier, a pooling of maxima or another shape, and then the next layer's own
quantiser, its levels are taken: nothing is rounded that was not rounded before. Elsewhere (before a normalisation, a
sum, or at the end of the net) the range is measured on rows, and rounding there is an error that the artefact has not.

References
----------
Jacob et al. 2018, section 2.4 (an integer layer's output is quantised again).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import fx

from fedlite.delivery.integers import affine
from fedlite.export.standard import Levels, levels, operators

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

_aten: Final = torch.ops.aten
_RECTIFIERS: Final = (_aten.relu.default, _aten.relu_.default, _aten.hardtanh.default, _aten.hardtanh_.default)
"""What an integer kernel does beside its layer."""
_KEEPING: Final = (
    _aten.max_pool1d.default, _aten.max_pool2d.default, _aten.flatten.using_ints, _aten.view.default,
    _aten.reshape.default, _aten.squeeze.dim, _aten.unsqueeze.default, _aten.permute.default,
)  # fmt: skip
"""Operators whose results are some of their inputs, so that it does not matter on which side is rounded."""


def rounded(program: ExportedProgram, rows: NDArray[np.float32]) -> tuple[ExportedProgram, int]:
    """Return a program whose integer layers have quantised outputs, and of how many the range had to be measured.

    Parameters
    ----------
    program : ExportedProgram
        Of a net of `standard`, for one sample. A program without integer layers is returned as it is.
    rows : array, shape (N, *sample)
    """
    module = program.module()
    assert isinstance(module, fx.GraphModule)  # noqa: S101 (what torch's export makes)
    ends = [one for one in map(_end, _layers(module.graph)) if not _is_quantised(one)]
    if not ends:
        return program, 0
    known = {one: found for one in ends if (found := _following(one)) is not None}
    measured = _measured(module, [one for one in ends if one not in known], rows)
    for node, found in (known | measured).items():
        _quantise(module.graph, node, found)
    module.recompile()
    return torch.export.export(module, (torch.from_numpy(rows[:1].copy()),)), len(measured)


def _layers(graph: fx.Graph) -> list[fx.Node]:
    """Return the operators whose inputs and weights are both dequantised."""
    ops = operators()
    wanted = {ops.dequantize_per_channel.default, ops.dequantize_per_tensor.default}
    found = [(node, {one.target for one in node.all_input_nodes}) for node in graph.nodes]
    return [node for node, made_by in found if wanted <= made_by]


def _end(layer: fx.Node) -> fx.Node:
    """Return the rectifier behind a layer if there is one, else the layer."""
    only = _only_user(layer)
    return only if only is not None and only.target in _RECTIFIERS else layer


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_quantised(node: fx.Node) -> bool:
    only = _only_user(node)
    return only is not None and only.target is operators().quantize_per_tensor.default


def _following(node: fx.Node) -> Levels | None:
    """Return the levels of the quantiser behind a node, if what lies between does not compute."""
    user = _only_user(node)
    while user is not None and user.target in _KEEPING:
        user = _only_user(user)
    if user is None or user.target is not operators().quantize_per_tensor.default:
        return None
    found: Any = tuple(user.args[1:])
    return found  # type: ignore[no-any-return]


def _measured(module: fx.GraphModule, nodes: list[fx.Node], rows: NDArray[np.float32]) -> dict[fx.Node, Levels]:
    """Return the levels that the results of some nodes need over rows."""
    if not nodes:
        return {}
    seen = _Ranges(module, nodes)
    with torch.no_grad():
        for row in rows:
            seen.run(torch.from_numpy(row[None].copy()))
    steps = {node: affine(torch.tensor(low), torch.tensor(high)) for node, (low, high) in seen.ranges.items()}
    return {node: levels(float(step), float(zero)) for node, (step, zero) in steps.items()}


class _Ranges(fx.Interpreter):
    """Runs a module and remembers the smallest and the largest result of some nodes."""

    def __init__(self, module: fx.GraphModule, nodes: list[fx.Node]) -> None:
        super().__init__(module)
        self.ranges = dict.fromkeys(nodes, (0.0, 0.0))

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.ranges:
            low, high = self.ranges[n]
            self.ranges[n] = min(low, float(result.min())), max(high, float(result.max()))
        return result


def _quantise(graph: fx.Graph, node: fx.Node, found: Levels) -> None:
    ops = operators()
    with graph.inserting_after(node):
        whole = graph.call_function(ops.quantize_per_tensor.default, (node, *found))
    with graph.inserting_after(whole):
        value = graph.call_function(ops.dequantize_per_tensor.default, (whole, *found))
    node.replace_all_uses_with(value, delete_user_cb=lambda user: user is not whole)
