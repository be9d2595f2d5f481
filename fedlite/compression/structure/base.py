"""What a structure must offer: it changes the net, so what it saves is traced from the net that it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray

from fedlite.compression.part import Part, PartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from fedlite.compression.overlap import Held, OverlapSum

Array = NDArray[Any]


class NetSpec(Protocol):
    """How the full net of a run is built. Hashable: equal specs build equal nets."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @property
    def layers(self) -> Part | None:
        """What puts other layers in the place of the net's own; None for the net as it is."""

    def build(self, share: float = 1.0) -> nn.Module:
        """Return the net at a share of its own width, freshly initialised, the same bits each time."""

    def varied(self, params: Mapping[str, Any]) -> NetSpec:
        """Return the same with other arguments of the net's factory."""

    def __hash__(self) -> int: ...


class Placement(Protocol):
    """Where the tensors of a structure lie in one full model."""

    def take(self) -> list[Array]:
        """Return the tensors that a device receives: the state of the structure's net, in its order."""

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add clients to a mean over the full model.

        Parameters
        ----------
        total : OverlapSum
            Takes values in the full model's coordinates.
        sums : sequence of float64 arrays
            The clients' tensors, each times its client's weight, summed; shaped as `take` returned them.
        weight : float
            Sum of the weights, above 0.
        held : list, optional
            Which coordinates of the tensors these clients hold; all if not given.
        """


@dataclass(frozen=True)
class Structure(Part, ABC):
    """The net that a device trains instead of the full one."""

    linear: ClassVar[bool] = True
    """Whether the sum of several clients' tensors may be placed instead of each client's."""
    covers: ClassVar[bool] = False
    """Whether `add` gives every coordinate of the full model, so that strategies may compare single replies."""
    moves: ClassVar[bool] = False
    """Whether `place` follows the values of the full model, so that a coordinate means another thing every round: what
    a device remembers of earlier ones would be added to the wrong places."""

    @cached_property
    def key(self) -> str:
        """Names the net: equal keys mean equal nets, so that nets, traces and a device's memory are kept by it."""
        options = ", ".join(f"{name}={value!r}" for name, value in sorted(self.record.items()) if name != "part")
        return f"{self.record['part']}({options})"

    @property
    def is_full(self) -> bool:
        """Whether the net is the full one."""
        return False

    def at(self, round_: int, device: int) -> Structure:
        """Return what a device trains in a round of the server: this structure, unless it grows or is drawn.

        What is asked outside of rounds (its net, its placement) is then asked of its largest net: the one that a device
        must have room for, and that is shipped in the end.
        """
        return self

    def remark_in(self, spec: NetSpec, objective: str) -> str:
        """Return the remark as it holds where this net learns this; "" if it is met there."""
        return self.remark

    @abstractmethod
    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net; its state dict says which tensors travel, in which order."""

    def plain(self, spec: NetSpec) -> nn.Module | None:
        """Return a net of the same tensors as a device computes it, where `build` has layers that only simulate that.

        It is what the shipped model is traced as; None for the net itself.
        """
        return None

    @abstractmethod
    def place(self, spec: NetSpec, full: Sequence[Array]) -> Placement:
        """Return where the net's tensors lie in a full model; may depend on the values of `full`."""


def net_of(structure: Structure, spec: NetSpec) -> nn.Module:
    """Return the net that a structure builds; all who want one come through here.

    Raises
    ------
    PartError
        If it is no net.
    """
    from torch import nn

    net: object = structure.build(spec)
    if not isinstance(net, nn.Module):
        raise PartError(
            f"structure {structure.name!r}: got {type(net).__name__} from build, expected a torch.nn.Module; return one"
        )
    return net
