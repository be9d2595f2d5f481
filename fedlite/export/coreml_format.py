"""Core ML: an ML program in an `.mlpackage`, written anywhere and executed on macOS alone.

References
----------
coremltools documentation, "Converting from PyTorch" (exported programs, compressed weights).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from fedlite.export.base import Format

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class CoreMl(Format):
    """A package for iOS 17 or newer that computes in float32 where layers are not integers."""

    name: ClassVar[str] = "coreml"
    suffix: ClassVar[str] = ".mlpackage"
    extra: ClassVar[str] = "coreml"
    libraries: ClassVar[tuple[str, ...]] = ("coremltools",)
    runtime: ClassVar[str] = "coremltools"

    @property
    def not_here(self) -> str:
        """Core ML is a part of macOS."""
        return "" if sys.platform == "darwin" else "Core ML executes on macOS alone"

    def write(self, net: nn.Module, rows: NDArray[np.float32], file: Path) -> dict[str, Any]:
        """Write a net for one sample at a time."""
        import coremltools
        import torch

        program = torch.export.export(net, (torch.from_numpy(rows[:1].copy()),)).run_decompositions({})
        model = coremltools.convert(
            program,
            minimum_deployment_target=coremltools.target.iOS17,
            compute_precision=coremltools.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(file))
        return {"minimum_deployment_target": "iOS 17"}

    def opened(self, file: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return Core ML's prediction."""
        import coremltools

        model = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit.CPU_ONLY)
        name = model.get_spec().description.input[0].name

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = next(iter(model.predict({name: x}).values()))
            return found

        return run
