"""Quantization-aware training in the sequential mode: every forward pass runs the module on rounded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fedlite.compression.fake_quant import fake_quantize_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from fedlite.learning.training.template import Template


def forward_of(template: Template, bits: int | None) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of the module, on rounded weights where `bits` is given."""
    if bits is None:
        return template.model
    names = [template.names[i] for i in template.trainable]

    def forward(inputs: Tensor) -> Tensor:
        values = dict(zip(names, fake_quantize_all(template.parameters, bits), strict=True))
        output = torch.func.functional_call(template.model, values, (inputs,))
        assert isinstance(output, torch.Tensor)  # noqa: S101 (narrows torch's Any)
        return output

    return forward
