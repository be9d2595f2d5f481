"""Low-rank adapters: y = W x + (alpha / r) B A x with W frozen and A (r, in), B (out, r) trained.

The base is in no state dict: it is drawn from the seed of the model or read from a file, equal everywhere, and neither
sent nor stored again. Only A, B and the modules that `train` names are parameters. B begins at zero, so that training
begins from the base.

References
----------
Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.modules import layers_of, put
from fedlite.learning.models.layers.base import Layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class LoraLinear(nn.Module):
    """A linear layer with an adapter; its own weights are constants."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight: torch.Tensor
        self.bias: torch.Tensor | None
        self.register_buffer("weight", base.weight.detach().clone(), persistent=False)
        self.register_buffer("bias", None if base.bias is None else base.bias.detach().clone(), persistent=False)
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as torch draws a linear layer's weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., out) from (..., in)."""
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(F.linear(x, self.a), self.b)

    def merged(self) -> nn.Linear:
        """Return one linear layer that computes the same."""
        out, inputs = self.weight.shape
        layer = nn.Linear(inputs, out, bias=self.bias is not None)
        with torch.no_grad():
            layer.weight.copy_(self.weight + self.scale * self.b @ self.a)
            if self.bias is not None:
                layer.bias.copy_(self.bias)
        return layer


@dataclass(frozen=True)
class Lora(Layers):
    """Adapters on linear layers; everything else is frozen.

    Attributes
    ----------
    rank : int
    alpha : float
        The adapter's output counts alpha / rank times.
    targets : tuple of str
        Linear layers that get an adapter, by full name or any part of it between dots ("query"); none means all that
        are not in `train`.
    train : tuple of str
        Modules that are trained whole, named in the same way, such as the classifier.
    file : str
        Safetensors file with the base's tensors by name, such as `model.safetensors` of a run; without one the base is
        the model as drawn.
    sha256 : str
        Of the file's bytes; filled in from the file if not given, and the file must keep it.
    """

    name: ClassVar[str] = "lora"
    cites: ClassVar[tuple[str, ...]] = ("hu2022lora",)

    rank: int = 4
    alpha: float = 8.0
    targets: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise PartError(f"rank: got {self.rank}, expected 1 or more; write for example 4")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise PartError(f"alpha: got {self.alpha}, expected a number above 0; write for example {2 * self.rank}")
        if self.sha256 and not self.file:
            raise PartError("sha256: got one without a file, expected both or none; name the file, or remove it")
        if self.file and not self.sha256:
            object.__setattr__(self, "sha256", hashlib.sha256(_bytes_of(self.file)).hexdigest())

    @property
    def label(self) -> str:
        """Such as "lora, rank 4"."""
        return f"lora, rank {self.rank}"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "only adapters are trained, sent and stored with the run; the base lies in every device's memory, and its"
            " first download is in no round"
        )

    def replace(self, net: nn.Module) -> nn.Module:
        """Return the net with adapters, all else frozen."""
        if self.file:
            _load(net, self.file, self.sha256)
        linear: dict[str, nn.Linear] = layers_of(net, nn.Linear)
        trained = _under(net, "train", self.train)
        wanted = _under(net, "targets", self.targets) if self.targets else set(linear)
        chosen = {name: layer for name, layer in linear.items() if name in wanted - trained}
        if not chosen:
            raise PartError(
                f"targets: got {', '.join(self.targets) or 'all linear layers'}, of which none is left, expected linear"
                f" layers that are not trained whole: {', '.join(set(linear) - trained) or 'the net has none'};"
                " name some, or leave the adapters out"
            )
        for name, layer in chosen.items():
            put(net, name, LoraLinear(layer, self.rank, self.alpha / self.rank))
        for name, module in net.named_modules():
            if name not in trained and not isinstance(module, LoraLinear):
                freeze(module)
        return net

    def merged(self, net: nn.Module) -> nn.Module:
        """Return a plain net: adapters are added to the base, and inference costs no more than the base's."""
        for name, layer in layers_of(net, LoraLinear).items():
            put(net, name, layer.merged())
        for module in net.modules():
            thaw(module)
        return net


def freeze(module: nn.Module) -> None:
    """Make a module's own parameters constants that are in no state dict."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, parameter.detach(), persistent=False)
        setattr(module, _FROZEN, (*getattr(module, _FROZEN, ()), name))


def thaw(module: nn.Module) -> None:
    """Undo `freeze`."""
    for name in getattr(module, _FROZEN, ()):
        buffer = getattr(module, name)
        delattr(module, name)
        module.register_parameter(name, nn.Parameter(buffer))
    if hasattr(module, _FROZEN):
        delattr(module, _FROZEN)


_FROZEN = "frozen_parameters"
"""Attribute of a module with the names of its parameters that are constants now."""


def _under(net: nn.Module, option: str, names: Sequence[str]) -> set[str]:
    """Return the modules that names stand for, with all that is inside of them."""
    known = [name for name, _ in net.named_modules() if name]
    found: set[str] = set()
    for wanted in names:
        match = {name for name in known if f".{wanted}." in f".{name}."}
        if not match:
            raise PartError(
                f"{option}: got {wanted!r}, expected a module of the net, or a part of its name:"
                f" {', '.join(sorted({part for name in known for part in name.split('.')}))}; write one of them"
            )
        found |= match
    return found


def _bytes_of(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise PartError(
            f"file: got {file!r}, which cannot be read ({error.strerror}), expected a safetensors file; mend the path"
        ) from error


def _load(net: nn.Module, file: str, sha256: str) -> None:
    """Write a file's tensors into the net."""
    content = _bytes_of(file)
    if (now := hashlib.sha256(content).hexdigest()) != sha256:
        raise PartError(
            f"sha256: got {file!r} with {now}, expected {sha256}; put the file back that the run began with,"
            " or begin a run of its own"
        )
    tensors = _read(file, content)
    state = net.state_dict()
    for name, value in state.items():
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        if got != tuple(value.shape):
            raise PartError(
                f"file: got {got} for {name!r} in {file!r}, expected {tuple(value.shape)}; name a file of this model"
            )
    if others := sorted(set(tensors) - set(state)):
        raise PartError(f"file: got {others[0]!r} in {file!r}, which this model lacks; name a file of this model")
    net.load_state_dict({name: torch.from_numpy(np.array(tensors[name])) for name in state})


def _read(file: str, content: bytes) -> Mapping[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except SafetensorError as error:
        raise PartError(f"file: got {file!r}, which is no safetensors file ({error}); name one that is") from error
