"""LiteRT (once TensorFlow Lite): a `.tflite` file, executed by its interpreter.

Its converter takes a layer for an integer one only with a quantised output, and integer weights only where it sees them
being quantised; inputs and outputs of a net of integers are then integers, too.

References
----------
LiteRT documentation, "Convert PyTorch models to LiteRT" and "8-bit quantization specification".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.export.base import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import fx, nn


class LiteRt(Format):
    """One `.tflite` file."""

    name: ClassVar[str] = "litert"
    suffix: ClassVar[str] = ".tflite"
    extra: ClassVar[str] = "litert"
    libraries: ClassVar[tuple[str, ...]] = ("litert_torch", "ai_edge_litert")
    runtime: ClassVar[str] = "ai-edge-litert"
    integer_weights: ClassVar[bool] = False

    def write(self, net: nn.Module, rows: NDArray[np.float32], file: Path) -> dict[str, Any]:
        """Write a net for one sample at a time, and tell of how many layers the range of outputs was measured."""
        import litert_torch
        import torch
        from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
        from litert_torch.quantize.quant_config import QuantConfig

        from fedlite.export.rounded_outputs import rounded

        example = (torch.from_numpy(rows[:1].copy()),)
        program, measured = rounded(torch.export.export(net, example), rows)
        module: Any = program.module()
        options = {}
        if _unfolded(module):
            # This says that there are integers, and quantises nothing: they are in the net already.
            quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
            options["quant_config"] = QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(module, example, **options).export(str(file))
        return {"measured_outputs": measured}

    def opened(self, file: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the interpreter on one thread."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(file), num_threads=1)
        interpreter.allocate_tensors()
        taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            interpreter.set_tensor(taken["index"], _levels(x, taken))
            interpreter.invoke()
            return _values(interpreter.get_tensor(given["index"]), given)

        return run


def _unfolded(module: fx.GraphModule) -> int:
    """Let a module quantise its integer weights from the numbers that they stand for, and return how many there are."""
    from fedlite.export.standard import operators

    ops, count = operators(), 0
    for node in list(module.graph.nodes):
        if node.target is not ops.dequantize_per_channel.default:
            continue
        whole, scale = (module.get_buffer(str(one.target)) for one in node.args[:2])
        name = f"unfolded_{count}"
        module.register_buffer(name, whole.float() * scale.reshape(-1, *(1,) * (whole.dim() - 1)))
        with module.graph.inserting_before(node):
            weight = module.graph.get_attr(name)
            again = module.graph.call_function(ops.quantize_per_channel.default, (weight, *node.args[1:]))
        node.replace_input_with(node.args[0], again)
        count += 1
    module.recompile()
    return count


def _levels(x: NDArray[np.float32], tensor: Mapping[str, Any]) -> NDArray[Any]:
    """Return numbers as a tensor of the file takes them: levels if it has integers."""
    import numpy as np

    kind = np.dtype(tensor["dtype"])
    if kind.kind == "f":
        return x
    step, zero = tensor["quantization"]
    limits = np.iinfo(kind)
    found: NDArray[Any] = np.clip(np.rint(x / np.float32(step)) + zero, limits.min, limits.max).astype(kind)
    return found


def _values(given: NDArray[Any], tensor: Mapping[str, Any]) -> NDArray[np.float32]:
    import numpy as np

    if given.dtype.kind == "f":
        return given
    step, zero = tensor["quantization"]
    found: NDArray[np.float32] = ((given.astype(np.float32) - zero) * np.float32(step)).astype(np.float32)
    return found
