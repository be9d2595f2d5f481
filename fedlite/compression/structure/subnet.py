"""A net out of a family whose members lie in each other, and the supernet that draws one for each device and round.

A member has the tensors of its own that the full net has by the same names: the first channels of each, and the middle
of each kernel. Members are averaged where they overlap, so that all of them train one set of weights.

References
----------
Cai et al. 2020, "Once-for-All: Train one network and specialize it for efficient deployment" (nested depth, width and
kernels). Guo et al. 2020, "Single path one-shot neural architecture search with uniform sampling", section 3.2 (paths
are drawn uniformly and trained alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.depth import SomeTensors
from fedlite.compression.structure.full import FULL
from fedlite.errors import FedliteError
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from fedlite.compression.overlap import IndexMap, Shape
    from fedlite.compression.structure.base import Placement

Choice = tuple[tuple[str, int], ...]
"""Arguments of the family's factory, by name."""
Axes = tuple[tuple[str, tuple[int, ...]], ...]
"""Arguments of the factory, each with the values that it may have."""


@dataclass(frozen=True)
class Subnet(Structure):
    """A smaller member of the family that the scenario's model belongs to.

    Attributes
    ----------
    choice : tuple of (name, value)
        Arguments of the factory in place of the scenario's, such as `[[blocks, 2], [kernel, 3]]`.
    """

    name: ClassVar[str] = "subnet"
    cites: ClassVar[tuple[str, ...]] = ("cai2020once",)

    choice: Choice

    def __post_init__(self) -> None:
        _check_names("choice", [name for name, _ in self.choice])

    @property
    def label(self) -> str:
        """Such as "blocks 2, kernel 3"."""
        return ", ".join(f"{name} {value}" for name, value in self.choice)

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the smaller net.

        Raises
        ------
        PartError
            If the model's factory takes no such argument or value.
        """
        return _member(self.name, spec, self.choice)

    def place(self, spec: NetSpec, full: Sequence[Array]) -> SomeTensors:
        """Return where its tensors lie.

        Raises
        ------
        PartError
            If they are not part of the full net's.
        """
        return SomeTensors(full, *_places(self, spec))


@dataclass(frozen=True)
class Supernet(Structure):
    """In every round each device trains a member of the family that is drawn for it; outside of rounds it is the whole.

    Attributes
    ----------
    axes : tuple of (name, values)
        What is drawn from, each value alike, such as `[[blocks, [1, 2, 3]], [kernel, [3, 5]]]`. The scenario's model
        must have the largest of each.
    seed : int
        Names the stream of the draws.
    """

    name: ClassVar[str] = "supernet"
    cites: ClassVar[tuple[str, ...]] = ("guo2020single", "cai2020once")

    axes: Axes
    seed: int = 0

    def __post_init__(self) -> None:
        _check_names("axes", [name for name, _ in self.axes])
        for name, values in self.axes:
            if not values or len(set(values)) < len(values):
                raise PartError(
                    f"axes: got {list(values)} for {name!r}, expected different values; write for example [1, 2]"
                )

    @property
    def label(self) -> str:
        """Such as "supernet of 6"."""
        count = 1
        for _, values in self.axes:
            count *= len(values)
        return f"supernet of {count}"

    @property
    def remark(self) -> str:
        """What a device must be ready for."""
        return "a job takes what the net that is drawn for it takes; a device must have room for the largest"

    def at(self, round_: int, device: int) -> Subnet:
        """Return the member that is drawn for a device in a round."""
        rng = stream(self.seed, "supernet", round_, device)
        return Subnet(tuple((name, values[int(rng.integers(len(values)))]) for name, values in self.axes))

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net.

        Raises
        ------
        PartError
            If the largest net that may be drawn is another one.
        """
        largest = tuple((name, max(values)) for name, values in self.axes)
        member, full = _member(self.name, spec, largest), FULL.build(spec)
        if _shapes(member) != _shapes(full):
            raise PartError(
                f"{self.name}: got a model that is not the largest of {dict(self.axes)}, expected {dict(largest)}; "
                "name these as the model's options"
            )
        return full

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Placement:
        """Return that every tensor lies where it is."""
        return FULL.place(spec, full)


def _member(part: str, spec: NetSpec, choice: Choice) -> nn.Module:
    try:
        return spec.varied(dict(choice)).build()
    except FedliteError as error:
        raise PartError(
            f"{part}: got {dict(choice)} for a model that has no such member ({error}), expected one of a family whose"
            " members lie in each other; name a model such as 'elastic'"
        ) from error


def _shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def _check_names(option: str, names: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise PartError(
            f"{option}: got {', '.join(names) or 'nothing'}, expected different arguments of the model's factory; "
            "write for example blocks and kernel"
        )


@lru_cache(maxsize=256)
def _places(structure: Subnet, spec: NetSpec) -> tuple[tuple[int, ...], tuple[IndexMap, ...]]:
    full = _shapes(spec.build())
    place_of = {name: place for place, name in enumerate(full)}
    positions, parts = [], []
    for name, shape in _shapes(structure.build(spec)).items():
        part = _part(full[name], shape) if name in full else None
        if part is None:
            has = full.get(name, "none of that name")
            raise PartError(
                f"subnet: got {structure.label} with a tensor {name!r} of {shape}, expected a part of the full net's"
                f" ({has}); give the model the largest of each, or name a model such as 'elastic'"
            )
        positions.append(place_of[name])
        parts.append(part)
    return tuple(positions), tuple(parts)


def _part(full: Shape, sub: Shape) -> IndexMap | None:
    """Return the first channels and the middle of a kernel; None if the tensor is no such part."""
    if len(full) != len(sub) or any(small > large for small, large in zip(sub, full, strict=True)):
        return None
    starts = [
        0 if axis < _KERNEL else (large - small) // 2 for axis, (large, small) in enumerate(zip(full, sub, strict=True))
    ]
    return tuple(slice(start, start + size) for start, size in zip(starts, sub, strict=True))


_KERNEL = 2
"""First of the dimensions of a convolution's weight that belong to its kernel."""
