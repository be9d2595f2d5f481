"""A batch of native jobs sorted out: which content goes under which plan to whom, and what that asks of the devices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.downlink import Offer
from fedlite.client.job import pack_received
from fedlite.client.stages.base import Stage
from fedlite.client.stages.clip import Clip
from fedlite.fleet.demands import Demands
from fedlite.flower import compat
from fedlite.flower.records import distinct, first_of, from_record, in_types
from fedlite.pricing import RATES
from fedlite.rng import seeds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.client.downlink import Download, Version
    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import Placement
    from fedlite.engine.pool import Shared
    from fedlite.flower.native_clients import NativeClients, NativeTask

Array = NDArray[Any]
Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

LOCAL_KEYS = {"proximal-mu": "proximal_mu", "lr": "lr", "local-epochs": "epochs", "max-steps": "max_steps"}
"""Entries of a message's config that change the local training, as Flower's strategies and examples name them."""


@dataclass(frozen=True)
class Content:
    """One distinct message content: the full model that it carries, and its config."""

    arrays: list[Array]
    config: ConfigRecord

    @property
    def local(self) -> dict[str, Any]:
        """What the config changes in the local training."""
        return {field: self.config[key] for key, field in LOCAL_KEYS.items() if key in self.config}

    @property
    def round_(self) -> int:
        """The server's round; 0 if the config does not say."""
        number = self.config.get("server-round", 0)
        return number if isinstance(number, int) else 0


@dataclass(frozen=True)
class Leg:
    """One content for devices of one plan that all decode the same numbers, whatever packet each of them got."""

    content: Content
    plan: Plan
    placement: Placement
    received: list[Array]
    shared: Shared

    @property
    def raw_bytes(self) -> int:
        """Length of the arrays as they are in memory."""
        return sum(array.nbytes for array in self.received)

    def upload_bytes(self) -> int | None:
        """Return the length of an upload if it is the same for any values, else None."""
        codec = wire.parse_codec(self.plan.up)
        if codec.sparsifier is not None or codec.lossless is not None:
            return None
        if any(isinstance(stage, Stage) and stage.adds_bytes for stage in self.plan.stages):
            return None
        return wire.most_bytes(self.received, codec)


@dataclass(frozen=True)
class Works:
    """What the local work of n jobs costs: time on the cold device with its band's factors, memory. Shape (n,) each."""

    time_s: Floats
    low: Floats
    high: Floats
    peak_bytes: Floats


class JobSheet:
    """n jobs: who, on which leg, with how many samples and steps. Arrays have shape (n,).

    Parameters
    ----------
    side : NativeClients
    kind : str
        "train" or "evaluate".
    messages : sequence of n Message
    devices : ndarray of int
    now_s : float
        When the jobs are handed out, which is when their plans are chosen.
    """

    def __init__(self, side: NativeClients, kind: str, messages: Sequence[Message], devices: Ids, now_s: float) -> None:
        self._side = side
        self.kind = kind
        self.devices = devices
        self.clients = devices % side.task.clients
        self.profiles = side.task.profile_of[devices]
        ids = [message.metadata.message_id for message in messages]
        self.seeds = seeds_of(side.seed, kind, names=ids)
        records, content_of = distinct([message.content for message in messages], id)
        contents = [_content(record, side.task) for record in records]
        self.round_ = min(content.round_ for content in contents)
        # Who assigns hears later how these very plans did.
        self.assigned = side.task.assignment.plans(devices, self.round_, now_s, trains=kind == "train")
        # A structure may be another one at this round, or on this device.
        plans = [plan.at(self.round_, device) for plan, device in zip(self.assigned, devices.tolist(), strict=True)]
        parcels, self._parcel_of = _parcels(side, contents, content_of, devices, plans)
        # Each content's stream is named after its messages, whatever their order.
        named = [min(compress(ids, content_of == content)) for content in range(len(contents))]
        self._downloads, self.legs, leg_of = _sent(side, contents, named, parcels)
        self.leg_of: Ids = leg_of[self._parcel_of]
        self.contents = contents
        self._locals = [replace(side.task.local, **leg.content.local) for leg in self.legs]
        self.own_examples: Ids = (side.task.test_examples if kind == "evaluate" else side.task.examples)[self.clients]
        """Examples that each job's client owns."""
        self.steps, self.samples = self._counted()
        """Optimiser steps of each job, 0 for evaluation; samples that go through the net."""

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def plans(self) -> list[Plan]:
        """Each job's plan."""
        return [self.legs[leg].plan for leg in self.leg_of.tolist()]

    def download(self, position: int) -> Download:
        """Return what the device of one job gets."""
        return self._downloads[int(self._parcel_of[position])]

    def _counted(self) -> tuple[Ids, Ids]:
        if self.kind == "evaluate":
            return np.zeros(len(self), dtype=np.int64), self.own_examples
        # Clients with as many examples on one leg take as many steps.
        keys, alike = np.unique(self.own_examples * len(self.legs) + self.leg_of, return_inverse=True)
        pairs = [divmod(key, len(self.legs)) for key in keys.tolist()]
        steps = [self._locals[leg].steps(n) for n, leg in pairs]
        samples = [self._locals[leg].samples(n) for n, leg in pairs]
        return np.array(steps, dtype=np.int64)[alike], np.array(samples, dtype=np.int64)[alike]

    def works(self) -> Works:
        """Return what the jobs cost, each on its profile under its plan."""
        rates = np.empty((len(RATES), len(self)))
        for number, (leg, local) in enumerate(zip(self.legs, self._locals, strict=True)):
            mine = np.flatnonzero(self.leg_of == number)
            rates[:, mine] = self._side.tariff(self.kind, leg.plan, local).rates(self.profiles[mine])
        per_step_s, per_sample_s, per_job_s, low, high, peak_bytes = rates
        return Works(self.steps * per_step_s + self.samples * per_sample_s + per_job_s, low, high, peak_bytes)

    def demands(self, works: Works, lengths: Sequence[int]) -> Demands:
        """Return what the jobs ask of their devices; `lengths` has the upload of each leg."""
        down_bytes = np.array([len(one.packet) for one in self._downloads], dtype=np.float64)[self._parcel_of]
        stored_bytes = np.array([one.stored_bytes for one in self._downloads], dtype=np.float64)[self._parcel_of]
        storage_bytes = stored_bytes + self.own_examples * self._side.task.sample_bytes
        up_bytes, slept_s = self.per_leg(lengths).astype(np.float64), np.zeros(len(self))
        return Demands(down_bytes, up_bytes, works.time_s, works.peak_bytes, storage_bytes, slept_s)

    def per_leg(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return for each job what its leg has."""
        return np.asarray(values)[self.leg_of]


def _content(record: RecordDict, task: NativeTask) -> Content:
    arrays = in_types(from_record(first_of(record, ArrayRecord) or ArrayRecord()), task.dtypes)
    return Content(arrays, (first_of(record, ConfigRecord) or ConfigRecord()).copy())


class _Parcel(NamedTuple):
    """What some devices of a batch get alike: a content, under a plan, given the version that they hold."""

    content: int
    plan: Plan
    base: Version | None


def _parcels(
    side: NativeClients, contents: Sequence[Content], content_of: Ids, devices: Ids, assigned: Sequence[Plan]
) -> tuple[list[_Parcel], Ids]:
    """Return the parcels that there are, and for each job which is its own."""
    bases = [side.downlink.base(device, plan) for device, plan in zip(devices.tolist(), assigned, strict=True)]
    # Most plans are one object for many devices, which is seen sooner than that two objects are one plan.
    each = [_Parcel(*own) for own in zip(content_of.tolist(), assigned, bases, strict=True)]
    few, first = distinct(each, lambda parcel: (parcel.content, id(parcel.plan), id(parcel.base)))
    asked = [parcel._replace(plan=_as_asked(parcel.plan, contents[parcel.content])) for parcel in few]
    parcels, second = distinct(asked, lambda parcel: (parcel.content, parcel.plan, id(parcel.base)))
    return parcels, second[first]


def _as_asked(plan: Plan, content: Content) -> Plan:
    """Return a plan as a server wants it that asks for clipping: after the plan's own stages."""
    norm = content.config.get(compat.CLIPPING_NORM_KEY)
    return plan if norm is None else replace(plan, stages=(*plan.stages, Clip(float(cast("float", norm)))))


def _sent(
    side: NativeClients, contents: Sequence[Content], names: Sequence[str], parcels: Sequence[_Parcel]
) -> tuple[list[Download], list[Leg], Ids]:
    """Encode each parcel as it crosses the wire, and return the legs, and which of them each parcel is for."""
    offers: dict[tuple[int, Plan], tuple[Placement, Offer]] = {}
    downloads: list[Download] = []
    for content, plan, base in parcels:
        if (content, plan) not in offers:
            placement = plan.structure.place(side.task.spec, contents[content].arrays)
            # The stream of the message's and the plan's own.
            named = ("downlink", names[content], plan.structure.key, "+".join(plan.down))
            offers[content, plan] = placement, Offer(placement.take(), plan, side.seed, named)
        downloads.append(offers[content, plan][1].to(base))
    places = range(len(parcels))
    firsts, leg_of = distinct(places, lambda place: (*parcels[place][:2], id(downloads[place].received)))
    legs = []
    for place in firsts:
        content, plan, _ = parcels[place]
        received = downloads[place].received
        shared = side.pool.share(pack_received(received))
        legs.append(Leg(contents[content], plan, offers[content, plan][0], received, shared))
    return downloads, legs, leg_of
