"""ExecuTorch: a `.pte` program whose layers are delegated to XNNPACK, executed by ExecuTorch's own runtime.

XNNPACK computes a layer in integers if its output is quantised too, which an artefact says only of inputs; where the
next layer's input does not settle it, `rounded_outputs` measures the range.

References
----------
ExecuTorch documentation, "XNNPACK backend" (quantisation: symmetric int8 weights per channel, int8 activations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.export.base import Format

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

_DELEGATE = "executorch_call_delegate"
_PLUMBING = ("getitem", _DELEGATE)


class ExecuTorch(Format):
    """One `.pte` file for processors."""

    name: ClassVar[str] = "executorch"
    suffix: ClassVar[str] = ".pte"
    extra: ClassVar[str] = "mobile"
    libraries: ClassVar[tuple[str, ...]] = ("executorch",)
    runtime: ClassVar[str] = "executorch"
    integer_weights: ClassVar[bool] = False

    def write(self, net: nn.Module, rows: NDArray[np.float32], file: Path) -> dict[str, Any]:
        """Write a net for one sample at a time, and tell what XNNPACK did not take and whose outputs were rounded."""
        import executorch.kernels.quantized  # noqa: F401 (registers what quantises outside of delegates)
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        from fedlite.export.rounded_outputs import rounded

        program, measured = rounded(torch.export.export(net, (torch.from_numpy(rows[:1].copy()),)), rows)
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        calls = [str(getattr(n.target, "__name__", n.target)) for n in _calls(edge.exported_program().graph)]
        file.write_bytes(edge.to_executorch().buffer)
        return {
            "delegates": calls.count(_DELEGATE),
            "not_delegated": sorted({one for one in calls if one not in _PLUMBING}),
            "measured_outputs": measured,
        }

    def opened(self, file: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the program's method."""
        import executorch.kernels.quantized  # noqa: F401 (registers what quantises outside of delegates)
        import torch
        from executorch.runtime import Runtime

        # The method reads from its program, which therefore has to live as long.
        program = Runtime.get().load_program(file)
        method = program.load_method("forward")

        def run(x: NDArray[np.float32], _kept: Any = program) -> NDArray[np.float32]:
            found: NDArray[np.float32] = method.execute([torch.from_numpy(x)])[0].numpy().copy()
            return found

        return run


def _calls(graph: Any) -> list[Any]:
    return [node for node in graph.nodes if node.op == "call_function"]
