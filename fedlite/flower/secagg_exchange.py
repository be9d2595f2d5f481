"""Training under secure aggregation: what leaves a device is its masked vector, and nothing else of what it learnt."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.errors import FedliteError
from fedlite.flower.native_exchange import NativeExchange
from fedlite.flower.records import first_of
from fedlite.flower.secagg_members import CAP, RECORD, carried, carrying
from fedlite.privacy.secagg import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import Error

    from fedlite.fleet.booking import Facts
    from fedlite.fleet.demands import Demands
    from fedlite.flower.native_replies import Computed
    from fedlite.flower.secagg_members import Members

Array = NDArray[Any]
Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]


class MaskedExchange:
    """See `exchange.Exchange`: a native exchange of train messages whose replies are masked."""

    final = True

    def __init__(self, members: Members, requests: Sequence[Message], devices: Ids, now_s: float) -> None:
        self._members = members
        self._requests = requests
        self._devices = devices
        self._letters = [carried(request.content) or b"" for request in requests]
        self._inner = NativeExchange(members.side, "train", _plain(requests), devices, now_s)
        terms = [members.terms(device) for device in devices.tolist()]
        self._up_bytes = np.array([messages.most_up_bytes(each)[2] for each in terms], np.float64)
        self._down_bytes = np.array([len(each) for each in self._letters], np.float64)
        self._masking_s = members.compute_s(devices, "masked")

    @property
    def demands(self) -> Demands:
        """What the jobs ask of their devices: training, and the protocol's part beside it."""
        asked = self._inner.demands
        return replace(
            asked,
            down_bytes=asked.down_bytes + self._down_bytes,
            up_bytes=self._up_bytes,
            train_s=asked.train_s + self._masking_s,
        )

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""
        return self._inner.facts

    def start(self, arriving: Bools, uploading: Bools) -> None:
        """Begin to train."""
        self._inner.start(arriving, uploading)

    def finish(self) -> None:
        """Wait for the training."""
        self._inner.finish()

    def settle(self, arrived: Bools, downloaded: Bools) -> None:
        """Let the devices keep what they keep."""
        self._inner.settle(arrived, downloaded)

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the masked vectors of those that arrived."""
        replies: list[RecordDict | Error | None] = [None] * len(arrived)
        for done in self._inner.computed:
            for place, position in enumerate(done.positions.tolist()):
                if arrived[position]:
                    replies[position] = RecordDict({RECORD: carrying(self._masked(done, place, position))})
        return replies

    def _masked(self, done: Computed, place: int, position: int) -> bytes:
        request = self._requests[position]
        record = request.content[RECORD]
        cap = record.get(CAP) if isinstance(record, ConfigRecord) else None
        equal = self._members.side.aggregation.equal_weights
        weight = 1 if equal else int(done.arrays["num_examples"][place])
        if not done.holds_all:
            raise FedliteError(
                f"clients: got the plan {done.leg.plan.name!r} with secure aggregation, whose devices hold a part of"
                " the net that the sum does not tell; give every device the full net without masks"
            )
        update = wire.to_update(done.weights_of(place), done.leg.received)
        floating = [part for part in update if wire.is_float(part)]
        device, name = int(self._devices[position]), request.metadata.message_id
        greatest = float(cap) if isinstance(cap, float) else 1.0
        return self._members.masked(device, name, self._letters[position], floating, weight, greatest)


def _plain(requests: Sequence[Message]) -> list[Message]:
    """Return the requests without the protocol's records; those with one model have one content again."""
    contents: dict[int, RecordDict] = {}
    plain = []
    for request in requests:
        model = first_of(request.content, ArrayRecord)
        if id(model) not in contents:
            records = {name: record for name, record in request.content.items() if name != RECORD}
            contents[id(model)] = RecordDict(records)
        message = copy.copy(request)
        message.content = contents[id(model)]
        plain.append(message)
    return plain
