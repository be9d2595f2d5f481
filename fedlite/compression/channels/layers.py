"""How the layers of a net treat channels: which can be sliced, and along which dimensions of which tensors.

A **dense** layer reads all of its input channels for each output channel (convolutions, Linear). A **relay** treats
each channel by itself and has numbers of its own for it (normalisation, depthwise convolutions). A layer that is
**opaque** has weights that cannot be sliced (recurrent layers, embeddings, grouped convolutions, attention, weights
that two layers share); it is left whole, with all that it contains. Everything else has no weights and is just run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d)


class Role(Enum):
    """What a layer does with channels."""

    DENSE = "dense"
    RELAY = "relay"
    OPAQUE = "opaque"


@dataclass(frozen=True)
class Layer:
    """One layer of a net.

    Attributes
    ----------
    name : str
        As in `net.named_modules()`.
    module : nn.Module
    role : Role
    """

    name: str
    module: nn.Module
    role: Role

    @property
    def text(self) -> str:
        """Such as "'lstm' (LSTM)"."""
        return f"{self.name or 'the net'!r} ({type(self.module).__name__})"

    @property
    def axis(self) -> int:
        """The dimension of inputs and outputs that counts channels."""
        return -1 if isinstance(self.module, nn.Linear) else 1

    @property
    def outputs(self) -> int:
        """Number of output channels; a relay has as many inputs."""
        module: Any = self.module
        for name in ("out_features", "out_channels", "num_features", "num_channels", "num_parameters"):
            if hasattr(module, name):
                return int(getattr(module, name))
        raise TypeError(type(module).__name__)  # an opaque layer has no channels that anybody may ask for

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return int(self.weight_shape[1]) if self.role is Role.DENSE else self.outputs

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of its weight."""
        weight = self.module._parameters["weight"]  # noqa: SLF001 - not through `getattr`, which would type it Any
        return () if weight is None else tuple(weight.shape)

    @property
    def together(self) -> int:
        """How many neighbouring channels are treated as one: those of one normalisation group."""
        return self.outputs // self.module.num_groups if isinstance(self.module, nn.GroupNorm) else 1

    @property
    def is_norm(self) -> bool:
        """Whether it normalises."""
        return isinstance(self.module, (*_NORMS, nn.GroupNorm))

    def tensors(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield its tensors in the state dict, each with the sides ("out", "in") that its first dimensions count."""
        prefix = f"{self.name}." if self.name else ""
        for key, value in self.module.state_dict().items():
            sides = ("out", "in") if self.role is Role.DENSE and key == "weight" else ("out",)
            yield prefix + key, sides[: value.ndim]


def layers_of(net: nn.Module) -> list[Layer]:
    """Return the layers that have weights, in the order of the net's modules, but none that an opaque one holds."""
    owners = Counter(id(parameter) for module in net.modules() for parameter in module._parameters.values())  # noqa: SLF001
    found: list[Layer] = []
    hidden: tuple[str, ...] = ()
    for name, module in net.named_modules():
        if hidden and name.startswith(hidden):
            continue
        role = _role(module, owners)
        if role is not None:
            found.append(Layer(name, module, role))
        if role is Role.OPAQUE:
            hidden = (*hidden, f"{name}." if name else "")
    return found


def _role(module: nn.Module, owners: Counter[int]) -> Role | None:
    own = [value for value in module._parameters.values() if value is not None]  # noqa: SLF001
    kind = type(module)  # exactly: a subclass may compute something else
    if any(owners[id(parameter)] > 1 for parameter in own):
        return Role.OPAQUE
    if isinstance(module, _CONVOLUTIONS) and kind in _CONVOLUTIONS:
        if module.groups == 1:
            return Role.DENSE
        return Role.RELAY if module.groups == module.in_channels == module.out_channels else Role.OPAQUE
    if kind is nn.Linear:
        return Role.DENSE
    if kind in _NORMS or kind is nn.GroupNorm or (isinstance(module, nn.PReLU) and module.num_parameters > 1):
        return Role.RELAY
    numbers = [*own, *(value for value in module._buffers.values() if value is not None)]  # noqa: SLF001
    return Role.OPAQUE if any(value.numel() > 1 for value in numbers) else None


def narrow(layer: Layer, outputs: NDArray[np.intp], inputs: NDArray[np.intp]) -> None:
    """Take channels out of a layer, in place: those that are named stay."""
    from torch import Tensor, as_tensor

    module: Any = layer.module
    kept = {"out": as_tensor(outputs), "in": as_tensor(inputs)}
    together = layer.together
    tables: tuple[Mapping[str, Tensor | None], ...] = (module._parameters, module._buffers)  # noqa: SLF001
    sides = {name.rpartition(".")[2]: found for name, found in layer.tensors()}
    for table in tables:
        for key, value in list(table.items()):
            if value is None:
                continue
            cut = value.detach()
            for dimension, side in enumerate(sides.get(key, ())):
                cut = cut.index_select(dimension, kept[side])
            setattr(module, key, nn.Parameter(cut, value.requires_grad) if table is module._parameters else cut)  # noqa: SLF001
    _renumber(module, len(outputs), len(inputs), together)


def _renumber(module: Any, outputs: int, inputs: int, together: int) -> None:
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = inputs, outputs
    elif isinstance(module, _CONVOLUTIONS):
        depthwise = module.groups > 1
        module.in_channels, module.out_channels = (outputs if depthwise else inputs), outputs
        module.groups = outputs if depthwise else 1
    elif isinstance(module, nn.GroupNorm):
        module.num_channels, module.num_groups = outputs, outputs // together
    elif isinstance(module, nn.PReLU):
        module.num_parameters = outputs
    else:
        module.num_features = outputs
