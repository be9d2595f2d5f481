"""The ranges of the inputs of layers over calibration rows: what static quantisation fixes its steps by."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

_ROWS_AT_ONCE = 64


def input_ranges(
    net: nn.Module,
    layers: Collection[str],
    x: NDArray[np.float32],
    known: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest input of each layer over rows (N, *sample), the net in evaluation.

    What is `known` of earlier rows may only widen.
    """
    found = dict(known)

    def look(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            low, high = found.get(name, (float("inf"), -float("inf")))
            found[name] = (min(low, float(inputs[0].min())), max(high, float(inputs[0].max())))

        return hook

    modules = dict(net.named_modules())
    hooks = [modules[name].register_forward_pre_hook(look(name)) for name in layers]
    try:
        net.eval()  # torch's switch: batch statistics stay as they are
        with torch.inference_mode():
            for begin in range(0, len(x), _ROWS_AT_ONCE):
                net(torch.from_numpy(x[begin : begin + _ROWS_AT_ONCE]))
    finally:
        for hook in hooks:
            hook.remove()
    return found
