"""ONNX: integer layers as QuantizeLinear and DequantizeLinear around the float operators, executed by ONNX Runtime.

Initialisers are integers, so that the file is about as small as the artefact's own. What a runtime computes in
integers is its choice: it fuses those layers whose outputs are quantised at once.

References
----------
ONNX operator specification, QuantizeLinear and DequantizeLinear (opset 21). ONNX Runtime documentation, "Quantize ONNX
models", section on the QDQ representation.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fedlite.export.base import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

_OPSET: Final = 21
_ERRORS_ONLY: Final = 3
_INT4: Final = 7
"""The largest weight that is stored in 4 bits."""
_INTEGER_KERNELS: Final = ("QLinear", "QGemm", "MatMulInteger", "ConvInteger", "QAttention")
"""How the names begin of what ONNX Runtime puts in the place of a layer that it computes in integers."""


class Onnx(Format):
    """One `.onnx` file without external data."""

    name: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    extra: ClassVar[str] = "onnx"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnxruntime")
    runtime: ClassVar[str] = "onnxruntime"

    def write(self, net: nn.Module, rows: NDArray[np.float32], file: Path) -> dict[str, Any]:
        """Write a net for any number of samples, and tell how many layers ONNX Runtime computes in integers here."""
        import torch

        # One row twice, for an example of one would be taken to be the only number there is.
        example = torch.from_numpy(rows[:1].copy()).repeat_interleave(2, dim=0)
        program = torch.onnx.export(
            net, (example,), dynamo=True, external_data=False, verbose=False, opset_version=_OPSET,
            input_names=["input"], output_names=["output"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
        model = program.model_proto  # type: ignore[union-attr]
        _without_remarks(model)
        narrow = _narrowed(model)
        file.write_bytes(model.SerializeToString())
        return {
            "opset": model.opset_import[0].version,
            "int4_weights": narrow,
            "integer_kernels": _integer_kernels(file),
        }

    def opened(self, file: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return ONNX Runtime's session on one thread of the processor."""
        session = _session(file)

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = session.run(None, {"input": x})[0]
            return found

        return run


def _session(file: Path, optimised: Path | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _integer_kernels(file: Path) -> int:
    """Return how many operators of a file ONNX Runtime replaces by such that compute in integers, on this machine."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        _session(file, optimised)
        return sum(node.op_type.startswith(_INTEGER_KERNELS) for node in onnx.load(optimised).graph.node)


def _without_remarks(model: Any) -> None:
    """Take out where in the source each operator came from: kilobytes that no device needs, and paths of this host."""
    graph = model.graph
    del graph.value_info[:]
    for one in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del one.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""


def _narrowed(model: Any) -> int:
    """Store weights that 4 bits hold in 4 bits, with their zero points, and return how many layers have such."""
    import numpy as np
    import onnx

    initialisers = {one.name: one for one in model.graph.initializer}
    zeros = set()
    narrow = 0
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in initialisers:
            continue
        weight = initialisers[node.input[0]]
        if np.abs(onnx.numpy_helper.to_array(weight).astype(np.int16)).max() <= _INT4:
            _store_in_4_bits(weight)
            narrow += 1
            # Zero points must be of the type of the weights, and are all zero: left out, they mean the same.
            zeros.add(node.input[2])
            del node.input[2:]
    used = {name for node in model.graph.node for name in node.input}
    for name in sorted(zeros - used):
        model.graph.initializer.remove(initialisers[name])
    return narrow


def _store_in_4_bits(weight: Any) -> None:
    """Pack a tensor's integers, two a byte, the first in the lower half, as ONNX lays out INT4."""
    import numpy as np
    import onnx

    nibbles = onnx.numpy_helper.to_array(weight).reshape(-1).astype(np.uint8) & 0x0F
    pairs = np.append(nibbles, np.zeros(nibbles.size % 2, np.uint8)).reshape(-1, 2)
    weight.raw_data = (pairs[:, 0] | pairs[:, 1] << 4).tobytes()
    weight.data_type = onnx.TensorProto.INT4
