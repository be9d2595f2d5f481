"""The way down: what is sent to whom, given which version of the model each device holds.

A plan may ask for differences (`Plan.delta`). A device that holds a version which the server still keeps then gets the
difference to it, and any other device the whole model. A version is a packet, as the device holds it: dense, without a
lossless stage, so that server and device read the same numbers out of it.

* `exact`: what is subtracted are two packets of the plan's own codec, so that the device comes to hold the very bits
  that a whole download would have given it.
* a codec: what it makes of the difference between the model and what the device holds. The server decodes it too and
  keeps what the device holds from then on, so that the next difference has what this one left out: errors never add up.
  Devices that held different versions then hold different ones again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.plan import Plan
    from fedlite.rng import Key

Array = NDArray[Any]

EXACT: Final = ("exact",)
"""How a plan asks for differences that give the bits of a whole download."""
_FLOAT32: Final = ("fp32",)


@dataclass(frozen=True)
class Version:
    """A model as a device holds it.

    Attributes
    ----------
    net : str
        Key of the structure whose net it is of.
    packet : bytes
        Its numbers, exactly.
    """

    net: str
    packet: bytes

    @cached_property
    def name(self) -> str:
        """Equal for equal versions."""
        return hashlib.sha256(self.net.encode() + b"\0" + self.packet).hexdigest()


@dataclass(frozen=True)
class Download:
    """What one device gets.

    Attributes
    ----------
    packet : bytes
        What crosses the wire and is charged.
    received : list of arrays
        The model as the device reads it; one object for all that read the same.
    version : Version or None
        What the device holds then, for whom differences are made.
    base : Version or None
        What the packet is the difference to; None for a whole model.
    """

    packet: bytes
    received: list[Array]
    version: Version | None = None
    base: Version | None = None

    @property
    def stored_bytes(self) -> int:
        """What lies on the device while it makes the new model: the packet, and the version that it is put on."""
        return len(self.packet) + (0 if self.base is None else len(self.base.packet))


class Offer:
    """One model for the devices of one plan.

    Parameters
    ----------
    part : sequence of arrays
        What of the full model goes to them.
    plan : Plan
    seed : int
    names : sequence of keys
        Name the stream of stochastic codecs.
    """

    def __init__(self, part: Sequence[Array], plan: Plan, seed: int, names: Sequence[Key]) -> None:
        self._part, self._plan = part, plan
        self._seed, self._names = seed, names

    def to(self, base: Version | None) -> Download:
        """Return what a device gets that holds a version, or none that is known."""
        if base is None:
            return self._whole
        return self._exact(base) if self._plan.delta == EXACT else self._lossy(base)

    @cached_property
    def _whole(self) -> Download:
        packet = self._encoded(self._part, self._plan.down)
        received = _sealed(wire.decode(packet, like=self._part))
        if not self._plan.delta:
            return Download(packet, received)
        net = self._plan.structure.key
        if self._plan.delta != EXACT:
            return Download(packet, received, Version(net, wire.encode(received, _FLOAT32)))
        plain = self._encoded(self._part, plain_codec(self._plan.down))
        # A sparsifier may leave other numbers than the number format alone would; then there is nothing to subtract.
        same = _same(wire.decode(plain, like=self._part), received)
        return Download(packet, received, Version(net, plain) if same else None)

    def _exact(self, base: Version) -> Download:
        whole = self._whole
        if whole.version is None or len(base.packet) != len(whole.version.packet):
            return whole
        delta = wire.encode_delta(whole.version.packet, base.packet)
        if len(delta) >= len(whole.packet):
            return whole
        read = Version(base.net, wire.decode_delta(delta, base.packet))
        return Download(delta, whole.received, read, base)

    def _lossy(self, base: Version) -> Download:
        held = wire.decode(base.packet, like=self._part)
        update = wire.to_update(self._part, held)
        packet = self._encoded(update, self._plan.delta, base.name)
        sum_ = wire.from_update(wire.decode(packet, like=update), held)
        version = Version(base.net, wire.encode(sum_, _FLOAT32))
        return Download(packet, _sealed(wire.decode(version.packet, like=self._part)), version, base)

    def _encoded(self, arrays: Sequence[Array], codec: tuple[str, ...], *more: Key) -> bytes:
        parsed = wire.parse_codec(codec)
        return wire.encode(arrays, parsed, stream(self._seed, *self._names, *more) if parsed.stochastic else None)


@dataclass
class Downloads:
    """Downloads that went through, whole models and differences apart."""

    whole: int = 0
    whole_bytes: int = 0
    deltas: int = 0
    delta_bytes: int = 0
    kept_versions: int = 0
    """The most versions that the server kept at one time."""
    kept_bytes: int = 0
    """The most bytes that they took."""

    def count(self, download: Download) -> None:
        """Count one."""
        if download.base is None:
            self.whole, self.whole_bytes = self.whole + 1, self.whole_bytes + len(download.packet)
        else:
            self.deltas, self.delta_bytes = self.deltas + 1, self.delta_bytes + len(download.packet)


class Downlink:
    """Who holds which version, and those versions that the server keeps.

    Parameters
    ----------
    most : int
        Versions that the server keeps, at least 1; beyond, it forgets that which was held anew longest ago.
    """

    def __init__(self, most: int = 16) -> None:
        self.told = Downloads()
        self._most = most
        self._held: dict[int, str] = {}
        self._holders: Counter[str] = Counter()
        self._kept: dict[str, Version] = {}

    def base(self, device: int, plan: Plan) -> Version | None:
        """Return the version to which a device may get the difference: one of the plan's net that the server keeps."""
        if not plan.delta or device not in self._held:
            return None
        version = self._kept.get(self._held[device])
        return version if version is not None and version.net == plan.structure.key else None

    def hold(self, device: int, download: Download) -> None:
        """Learn that a download went through."""
        self.told.count(download)
        if (before := self._held.pop(device, None)) is not None:
            self._holders[before] -= 1
        if download.version is not None:
            self._keep(device, download.version)
        if before is not None and not self._holders[before]:
            del self._holders[before]
            self._kept.pop(before, None)

    def _keep(self, device: int, version: Version) -> None:
        self._held[device] = version.name
        self._holders[version.name] += 1
        self._kept.pop(version.name, None)
        self._kept[version.name] = version
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        self.told.kept_versions = max(self.told.kept_versions, len(self._kept))
        self.told.kept_bytes = max(self.told.kept_bytes, sum(len(one.packet) for one in self._kept.values()))


def plain_codec(codec: tuple[str, ...]) -> tuple[str, ...]:
    """Return the number format of a codec alone."""
    parsed = wire.parse_codec(codec)
    return (parsed.stages[0 if parsed.sparsifier is None else 1],)


def _sealed(arrays: list[Array]) -> list[Array]:
    for values in arrays:
        values.flags.writeable = False  # as in an actor, which reads it out of shared memory
    return arrays


def _same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
