"""What a delivery must offer: a trained model in, the artefact that devices run out.

An artefact is two nets. One is executed, on the host as on the device: its state, with integers where the device has
integers, is the file that lies on flash. The other has the same layers with plain weights, as a device's kernels see
them: it is traced for work and memory, and priced layer by layer at the precision in which the layer computes.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.compression.part import Part, PartError
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from fedlite.delivery.path import Band, Path

Array = NDArray[Any]


@dataclass(frozen=True)
class Artefact:
    """A model as it is shipped.

    Attributes
    ----------
    net : nn.Module
        Computes what the device computes; its state dict is what is stored.
    plain : nn.Module
        The same layers with plain weights: what is traced.
    precision : mapping
        Name of a layer -> the precision in which it computes, where that is not float32.
    codec : tuple of str
        Stages in which the state is stored.
    facts : mapping
        What the deliveries found out, plain JSON values.
    forward_samples : int
        Samples that went through the net because of the deliveries, to be charged.
    paths : tuple of Path
        The ways that an inference may go, if there are several, or if it asks a server.
    bands : tuple of Band
        The ways by the state of the battery, from the fullest, if they follow it; `paths` are those of one of them.
    on_device : bool
        Whether the file lies on the device.
    masks : mapping
        Name of a layer -> its output channels that deliveries left, where they took some: what a next version begins
        with. The server keeps it; no device has it.
    sealed : str
        Why no delivery may replace layers any more; empty if they may.
    """

    net: nn.Module
    plain: nn.Module
    precision: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    codec: tuple[str, ...] = ("fp32",)
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    forward_samples: int = 0
    paths: tuple[Path, ...] = ()
    bands: tuple[Band, ...] = ()
    on_device: bool = True
    masks: Mapping[str, NDArray[np.intp]] = field(default_factory=lambda: MappingProxyType({}))
    sealed: str = ""

    @classmethod
    def of(cls, net: nn.Module, codec: tuple[str, ...] = ()) -> Artefact:
        """Return the model as it was trained, stored in a codec, plainly if it has no stage."""
        return cls(net, net, codec=codec or ("fp32",))

    def with_layers(
        self, layers: Mapping[str, nn.Module], precision: str | None, *, forward_samples: int = 0, **facts: Any
    ) -> Artefact:
        """Return the artefact with other layers in the executed net, by name, that compute in a precision.

        Raises
        ------
        PartError
            If it is sealed.
        """
        if self.sealed:
            raise PartError(f"{self.sealed}; leave one of both out")
        return replace(
            self,
            net=replaced(self.net, layers),
            precision=dict(self.precision)
            if precision is None
            else {**self.precision, **dict.fromkeys(layers, precision)},
            facts={**self.facts, **facts},
            forward_samples=self.forward_samples + forward_samples,
        )

    def as_trained(self, part: str) -> nn.Module:
        """Return the net for a part that works on it as it was trained.

        Raises
        ------
        PartError
            If another delivery has replaced its layers already.
        """
        if self.net is not self.plain:
            raise PartError(
                f"{part}: got a model whose layers another delivery has replaced, expected one as it was trained; "
                "write this delivery before the others"
            )
        return self.net

    def with_net(self, net: nn.Module, *, forward_samples: int = 0, **facts: Any) -> Artefact:
        """Return the artefact of another net with plain weights, which is executed and traced alike."""
        return replace(
            self,
            net=net,
            plain=net,
            facts={**self.facts, **facts},
            forward_samples=self.forward_samples + forward_samples,
        )

    def telling(self, **facts: Any) -> Artefact:
        """Return the artefact with more facts."""
        return replace(self, facts={**self.facts, **facts})

    def update(self, previous: Artefact) -> bytes:
        """Return what a device needs that holds the previous artefact: the exact difference, or the file if shorter."""
        now, before = (wire.encode(one.state(), ("fp32",)) for one in (self, previous))
        file = self.file()
        if len(now) != len(before):
            return file
        return min(wire.encode_delta(now, before), file, key=len)

    def state(self) -> list[Array]:
        """Return the tensors of the executed net."""
        return [value.detach().cpu().numpy() for value in self.net.state_dict().values()]

    def file(self) -> bytes:
        """Return the file as it lies on flash, empty if none does."""
        if not self.on_device:
            return b""
        codec = wire.parse_codec(self.codec)
        return wire.encode(self.state(), codec, stream(0, "stored") if codec.stochastic else None)

    def read(self, file: bytes) -> list[Array]:
        """Return the state of the executed net as a device reads it from the file."""
        return wire.decode(file, like=self.state()) if self.on_device else [one.copy() for one in self.state()]


@dataclass(frozen=True)
class Calibration:
    """What a delivery may look at beside the model.

    Attributes
    ----------
    x : float32 array, shape (N, *sample)
        Rows that a client gave for this.
    loss : callable
        Mean loss of a net on rows that are held out, for those who search.
    rng : Generator
        Randomness of the delivery.
    held : int
        How many rows `loss` looks at.
    previous : nn.Module or None
        The executed net that was shipped before this one, if there was one.
    previous_masks : mapping
        Its masks, as `Artefact` has them.
    labelled : (float32 array, array) or None
        The rows that `loss` looks at and their labels, for those who ask for single answers.
    """

    x: NDArray[np.float32]
    loss: Callable[[nn.Module], float]
    rng: np.random.Generator
    held: int = 0
    previous: nn.Module | None = None
    previous_masks: Mapping[str, NDArray[np.intp]] = field(default_factory=lambda: MappingProxyType({}))
    labelled: tuple[NDArray[np.float32], Array] | None = None


@dataclass(frozen=True)
class Delivery(Part, ABC):
    """Makes a trained model into what is shipped; a plan's deliveries act in their order."""

    @property
    def begins_with_previous(self) -> bool:
        """Whether it looks at what was shipped before."""
        return False

    @abstractmethod
    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact, changed; what is given stays as it is.

        Raises
        ------
        PartError
            If this cannot be done to this model; the message names the layer.
        """


def delivered(start: Artefact, deliveries: Sequence[Part], rows: Calibration) -> Artefact:
    """Return the artefact that deliveries make of a trained model, one after the other.

    Raises
    ------
    PartError
        If one does not apply to the model, or to what those before it have made of it.
    """
    artefact = start
    for place, delivery in enumerate(deliveries):
        assert isinstance(delivery, Delivery)  # noqa: S101 (read as one; plans know only parts)
        try:
            artefact = delivery.deliver(artefact, rows)
            _computed(artefact, rows)
        except RuntimeError as error:
            # What torch says of shapes that do not meet.
            before = ", ".join(["the structure", *(one.name for one in deliveries[:place])])
            raise PartError(
                f"{delivery.name}: got a model as {before} left it, with which it does not go together"
                f" ({str(error).splitlines()[0]}), expected parts that fit each other; leave one of them out"
            ) from error
    return artefact


def _computed(artefact: Artefact, rows: Calibration) -> None:
    """Execute the net on one row; torch raises RuntimeError where shapes do not meet."""
    import torch

    with torch.inference_mode():
        artefact.net.eval()(torch.from_numpy(np.array(rows.x[:1])))  # torch's switch: batch statistics stay


def replaced(net: nn.Module, layers: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy of a net with other modules in some places, by their dotted names."""
    made = copy.deepcopy(net)
    for name, layer in layers.items():
        *path, last = name.split(".")
        setattr(made.get_submodule(".".join(path)), last, layer)
    return made
