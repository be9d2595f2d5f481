"""A private copy of the model: the names, shapes and order of its state, and the way arrays enter and leave it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from fedlite.errors import FedliteError
from fedlite.learning.training.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fedlite.learning.training.records import Array

LARGEST_CHANNELS_LAST = 5_000_000
"""Parameters from which images stay channels-first."""


class Template:
    """The model as structure; its values are scratch space.

    Parameters
    ----------
    model : nn.Module
        Copied, so that training never changes the caller's module.
    place : Place, optional
        Where it is to compute; the processor if not given.

    Attributes
    ----------
    place : Place
    names : list of str
        Names of the state dict, in its order: the order of all lists of arrays.
    trainable : list of int
        Positions in `names` of the parameters that training changes.
    """

    def __init__(self, model: nn.Module, place: Place | None = None) -> None:
        self.place = place or Place()
        self.model = copy.deepcopy(model).to(self.place.device)
        self._channels_last = _prefers_channels_last(self.model)
        if self._channels_last:
            for parameter in self.model.parameters():
                if parameter.dim() == 4:  # noqa: PLR2004 (a kernel of a two-dimensional convolution)
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.state = dict(self.model.state_dict(keep_vars=True))
        self.names = list(self.state)
        parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.trainable = [i for i, name in enumerate(self.names) if name in parameters]
        self.parameters = [parameters[self.names[i]] for i in self.trainable]

    def check(self, arrays: Sequence[Array]) -> None:
        """Raise FedliteError unless `arrays` fit the model's state, one for one."""
        if len(arrays) != len(self.names):
            raise FedliteError(
                f"model arrays: got {len(arrays)}, expected {len(self.names)} ({', '.join(self.names[:3])}, ...); "
                "pass state_dict().values() of the same model"
            )
        for name, array in zip(self.names, arrays, strict=True):
            if tuple(array.shape) != tuple(self.state[name].shape):
                raise FedliteError(
                    f"model arrays: {name}: got shape {tuple(array.shape)}, expected "
                    f"{tuple(self.state[name].shape)}; pass state_dict().values() of the same model"
                )

    def load(self, tensors: Sequence[Tensor]) -> None:
        """Write one client's state into the module."""
        with torch.no_grad():
            for target, tensor in zip(self.state.values(), tensors, strict=True):
                target.copy_(tensor)

    def inputs(self, samples: Tensor) -> Tensor:
        """Return gathered samples as the module likes them best."""
        wanted = self._channels_last and samples.dim() == 4  # noqa: PLR2004 (batch, channels, height, width)
        return samples.contiguous(memory_format=torch.channels_last) if wanted else samples

    def empty_stack(self, arrays: Sequence[Array], clients: int) -> list[Array]:
        """Return uninitialised arrays (K, *shape) for the result of a chunk."""
        return [np.empty((clients, *array.shape), dtype=array.dtype) for array in arrays]


def _prefers_channels_last(model: nn.Module) -> bool:
    """Return whether images should lie channels-last: oneDNN's convolutions then take 0.7 to 0.85 of the time.

    Not so where the kernels themselves are the bulk of the memory (measured on ResNet-18, benchmarks/speed).
    """
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return False
    return sum(parameter.numel() for parameter in model.parameters()) < LARGEST_CHANNELS_LAST
