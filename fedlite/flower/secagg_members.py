"""Devices as clients of secure aggregation: what each keeps between the trips of a round, what its answers cost.

The crypto runs in the process that serves, once per device and trip; what it costs the devices is charged to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from fedlite.errors import FedliteError
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.privacy.secagg import costs, fixed_point, messages
from fedlite.privacy.secagg.client import Client
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import Error

    from fedlite.flower.native_clients import NativeClients
    from fedlite.privacy.secagg.terms import Terms

Array = NDArray[Any]
Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

RECORD: Final = "secure-aggregation"
"""Name of the record with a message of the protocol, in requests and replies; its entry is `BODY`."""
BODY: Final = "body"
CAP: Final = "weight-cap"
"""Entry of a request for masked vectors: the greatest weight of an update."""
ACTION: Final = "secagg"
"""Queries of the protocol are of the type `query.secagg_TRIP`."""


def carrying(body: bytes, **beside: float) -> ConfigRecord:
    """Return a message of the protocol as a record."""
    return ConfigRecord({BODY: body, **beside})


def carried(content: RecordDict) -> bytes | None:
    """Return the message of the protocol in a content, None if it has none."""
    record = content.get(RECORD)
    body = record.get(BODY) if isinstance(record, ConfigRecord) else None
    return body if isinstance(body, bytes) else None


class Members:
    """The clients of a run as members of secure aggregation.

    Parameters
    ----------
    side : NativeClients
    to_zero : bool
        Whether numbers are rounded toward zero, so that no update becomes longer than it was clipped to.
    """

    def __init__(self, side: NativeClients, *, to_zero: bool) -> None:
        self.side = side
        self.numbers = 0
        """Numbers of updates that were masked so far."""
        self.clipped = 0
        """Of these, how many were clipped."""
        self._to_zero = to_zero
        self._clients: dict[int, Client] = {}

    def answer(self, trip: str, device: int, message_id: str, body: bytes) -> bytes:
        """Return a device's answer in any trip but that of the masked vector."""
        if trip == "keys":
            self._clients[device] = Client(body, stream(self.side.seed, "secure aggregation", message_id))
            return self._clients[device].keys()
        client = self._clients[device]
        return client.share(body) if trip == "shares" else client.unmask(body)

    def terms(self, device: int) -> Terms:
        """Return what a device has agreed to."""
        return self._clients[device].terms

    def masked(
        self, device: int, message_id: str, letters: bytes, update: Sequence[Array], weight: int, cap: float
    ) -> bytes:
        """Return a device's masked vector: its weight, then its update times the share of its weight in the greatest.

        Parameters
        ----------
        device : int
        message_id : str
            Names the stream that rounds.
        letters : bytes
        update : sequence of ndarray
            Its floating tensors.
        weight : int
        cap : float
            The greatest weight.
        """
        client = self._clients[device]
        terms = client.terms
        values = np.concatenate([np.ravel(part).astype(np.float64) for part in update]) * (weight / cap)
        self.numbers += values.size
        self.clipped += int((np.abs(values) > terms.clip).sum())
        rng = None if self._to_zero else stream(self.side.seed, "secure aggregation", "rounding", message_id)
        levels = fixed_point.levels(values, terms.clip, terms.bits, rng)
        return client.mask(letters, np.concatenate((np.array([weight], np.uint32), levels)))

    def compute_s(self, devices: Ids, trip: str) -> NDArray[np.float64]:
        """Return how long each device computes for its answer."""
        place, task = messages.TRIPS.index(trip), self.side.task
        cycles = np.array([costs.cycles(self.terms(device))[place] for device in devices.tolist()])
        hertz = np.array([task.profiles[profile].clock_hz.value for profile in task.profile_of[devices].tolist()])
        return np.asarray(cycles / hertz)


class QueryExchange:
    """See `exchange.Exchange`: a trip of secure aggregation in which nothing is trained."""

    final = True

    def __init__(self, members: Members, requests: Sequence[Message], devices: Ids, now_s: float) -> None:
        trip = requests[0].metadata.message_type.partition(f".{ACTION}_")[2]
        if trip not in messages.TRIPS:
            raise FedliteError(
                f"message type: got {requests[0].metadata.message_type!r}, expected train, evaluate or a trip of secure"
                " aggregation; write a ClientApp for messages of your own"
            )
        bodies = [carried(request.content) or b"" for request in requests]
        self._answers = [
            members.answer(trip, device, request.metadata.message_id, body)
            for device, request, body in zip(devices.tolist(), requests, bodies, strict=True)
        ]
        down, up = (np.array([len(each) for each in side], np.float64) for side in (bodies, self._answers))
        nothing = np.zeros(len(devices))
        held = down + up  # in memory meanwhile
        self.demands = Demands(down, up, members.compute_s(devices, trip), held, nothing, nothing)
        low, high = costs.band()
        plans = members.side.task.assignment.plans(devices, 0, now_s, trains=False)
        self.facts = Facts(
            plan=np.array([plan.name for plan in plans]),
            down_raw_bytes=down.astype(np.int64),
            up_raw_bytes=up.astype(np.int64),
            examples=np.zeros(len(devices), np.int64),
            steps=np.zeros(len(devices), np.int64),
            loss=np.full(len(devices), np.nan),
            reason=np.full(len(devices), "", dtype=object),
            energy_low=np.full(len(devices), low),
            energy_high=np.full(len(devices), high),
            diverged=np.zeros(len(devices), np.bool_),
        )

    def start(self, arriving: Bools, uploading: Bools) -> None:
        """Do nothing: the answers are there."""

    def finish(self) -> None:
        """Do nothing."""

    def settle(self, arrived: Bools, downloaded: Bools) -> None:
        """Do nothing: a member that is lost is never asked again in its round."""

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the answers of those that arrived."""
        return [
            RecordDict({RECORD: carrying(answer)}) if came else None
            for answer, came in zip(self._answers, arrived.tolist(), strict=True)
        ]
