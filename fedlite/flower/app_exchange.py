"""One batch of messages on its way through a ClientApp that fedlite did not write.

Nobody can tell beforehand what foreign code will do. So the jobs run first; then their replies are measured, and their
work is counted where no job of the same shape was counted before; then the batch is priced. Jobs that turn out not to
have finished on their device are thrown away, reply and state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from flwr.app import Error, Message, RecordDict
from numpy.typing import NDArray

from fedlite.engine import chunks
from fedlite.engine.task import Task
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.flower import compat
from fedlite.flower.app_prices import JobCost
from fedlite.flower.app_wire import AppWire, Sent
from fedlite.flower.app_worker import packed, unpacked
from fedlite.flower.records import distinct
from fedlite.rng import seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.engine.pool import Pool, Shared
    from fedlite.flower.app_prices import AppPrices

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

PLAN: Final = "app"
"""What the ledger says of the compression plan: the app trains what it likes."""
KEYS_WITHOUT_WORK: Final = frozenset({"server-round", "lr", "learning-rate", "learning_rate", compat.CLIPPING_NORM_KEY})
"""Entries of a message's config that change from round to round without changing how much there is to do."""


class AppClients(Protocol):
    """The clients of a run, as an exchange sees them: where their code runs, what it costs, what they remember."""

    pool: Pool
    prices: AppPrices
    profile_of: NDArray[np.int16]
    """Profile of each device, shape (N,)."""
    wire: AppWire
    seed: int
    states: dict[int, bytes]
    """Each device's context state, as it was after its last reply that arrived."""
    counts: dict[str, Mapping[str, Any]]
    """Work by shape of job, counted once."""

    def node_config(self, device: int) -> dict[str, Any]:
        """Return what a node knows of itself."""


@dataclass(frozen=True)
class _Content:
    """One distinct message content: as clients read it, and what of it tells jobs of different work apart."""

    sent: Sent
    shape: str


@dataclass
class _Ended:
    """What became of one job."""

    reply: Sent
    state: bytes
    error: Error | None
    examples: float | None
    loss: float | None
    cost: JobCost = field(default_factory=JobCost)


class AppExchange:
    """See `exchange.Exchange`. Everything is computed when it is made."""

    def __init__(self, clients: AppClients, messages: Sequence[Message], devices: Ids) -> None:
        self._clients = clients
        self._devices = devices
        self._kind = messages[0].metadata.message_type.partition(".")[0]
        self._contents, self._content_of = _contents(messages, clients.wire)
        self._jobs: list[dict[str, Any]] = [
            {
                "fields": compat.fields_of(message),
                "content": f"content {content}",
                "node_config": clients.node_config(int(device)),
                "seed": seed_of(clients.seed, "app job", message.metadata.message_id) % 2**63,
            }
            for message, content, device in zip(messages, self._content_of, devices, strict=True)
        ]
        self._states = [clients.states.get(device, b"") for device in devices.tolist()]
        self._shared = clients.pool.share(
            {f"content {i}": np.frombuffer(held.sent.data, dtype=np.uint8) for i, held in enumerate(self._contents)}
        )
        self._ended = self._run(self._shared)
        self._price(self._shared)

    # -- computing ----------------------------------------------------------------------------------------------------

    def _task(self, kind: str, positions: Sequence[int]) -> Task:
        states, lengths = packed([self._states[position] for position in positions])
        return Task(
            kind,
            {"jobs": [self._jobs[position] for position in positions]},
            {"states": states, "state_lengths": lengths},
        )

    def _run(self, shared: Shared) -> list[_Ended]:
        pool = self._clients.pool
        cut = chunks.cut([np.arange(len(self._jobs))])
        tickets = [pool.submit(self._task("run", positions.tolist()), shared) for positions in cut]
        ended: list[_Ended] = []
        for ticket in tickets:
            result = pool.collect(ticket)
            replies = unpacked(result.arrays["replies"], result.arrays["reply_lengths"])
            states = unpacked(result.arrays["states"], result.arrays["state_lengths"])
            for summary, reply, state in zip(result.meta["jobs"], replies, states, strict=True):
                error = None if summary["error"] is None else Error(*summary["error"])
                sent = self._sent(len(ended), reply, error)
                ended.append(_Ended(sent, state, error, summary.get("examples"), summary.get("loss")))
        return ended

    def _sent(self, position: int, reply: bytes, error: Error | None) -> Sent:
        if error is not None:
            length = compat.error_bytes(error)
            return Sent(b"", length, length)
        received = self._contents[self._content_of[position]].sent.data
        return self._clients.wire.up(reply, received, self._jobs[position]["seed"])

    # -- pricing ------------------------------------------------------------------------------------------------------

    def _price(self, shared: Shared) -> None:
        clients = self._clients
        keys = [self._work_key(position) for position in range(len(self._jobs))]
        if clients.prices.declared.macs is None:
            first = {key: position for position, key in reversed(list(enumerate(keys))) if key not in clients.counts}
            order = sorted(first.items(), key=lambda item: item[1])
            tickets = [(key, clients.pool.submit(self._task("count", [position]), shared)) for key, position in order]
            for key, ticket in tickets:
                clients.counts[key] = clients.pool.collect(ticket).meta["counts"][0]
        for ended, key, device in zip(self._ended, keys, self._devices.tolist(), strict=True):
            failed = ended.error is not None
            count = clients.counts.get(key)
            ended.cost = clients.prices.of(self._kind, count, int(clients.profile_of[device]), failed=failed)

    def _work_key(self, position: int) -> str:
        """Return what two jobs of equal work have in common."""
        ended = self._ended[position]
        shape = self._contents[self._content_of[position]].shape
        kind = self._jobs[position]["fields"]["type"]
        return f"{kind}\x1f{shape}\x1f{ended.examples}\x1f{ended.error is not None}"

    @property
    def demands(self) -> Demands:
        """What the jobs asked of their devices."""
        received = [self._contents[content].sent for content in self._content_of]
        down_bytes = np.array([sent.encoded_bytes for sent in received], dtype=np.float64)
        return Demands(
            down_bytes=down_bytes,
            up_bytes=np.array([ended.reply.encoded_bytes for ended in self._ended], dtype=np.float64),
            train_s=np.array([ended.cost.time_s for ended in self._ended]),
            peak_bytes=np.array([ended.cost.peak_bytes for ended in self._ended]),
            storage_bytes=down_bytes,
        )

    @property
    def final(self) -> bool:
        """The replies are there already."""
        return True

    def start(self, arriving: Bools, uploading: Bools) -> None:
        """Do nothing: pricing needed the results."""

    def finish(self) -> None:
        """Do nothing: pricing needed the results."""

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""
        ended = self._ended
        return Facts(
            plan=np.full(len(ended), PLAN),
            down_raw_bytes=np.array([self._contents[content].sent.raw_bytes for content in self._content_of]),
            up_raw_bytes=np.array([e.reply.raw_bytes for e in ended]),
            examples=np.array([int(e.examples or 0) for e in ended], dtype=np.int64),
            steps=np.array([e.cost.steps for e in ended], dtype=np.int64),
            loss=np.array([np.nan if e.loss is None else float(e.loss) for e in ended]),
            failed=np.array([e.error is not None for e in ended]),
            diverged=np.zeros(len(ended), dtype=bool),
            energy_low=np.array([e.cost.low for e in ended]),
            energy_high=np.array([e.cost.high for e in ended]),
        )

    # -- answering ----------------------------------------------------------------------------------------------------

    def settle(self, arrived: Bools) -> None:
        """Keep the state of the nodes whose reply arrived; the others are as before, as in Flower after an error."""
        for position in np.flatnonzero(arrived).tolist():
            self._clients.states[int(self._devices[position])] = self._ended[position].state

    def replies(self, arrived: Bools) -> list[RecordDict | Error | None]:
        """Return a reply for each job that arrived, and the error of each whose code raised one."""
        return [
            ended.error if ended.error is not None else compat.from_bytes(ended.reply.data) if here else None
            for ended, here in zip(self._ended, arrived.tolist(), strict=True)
        ]


def _contents(messages: Sequence[Message], wire: AppWire) -> tuple[list[_Content], Ids]:
    """Return what the messages carry, as clients read it, and which of it each message carries."""
    records, record_of = distinct([message.content for message in messages], id)
    # Records apart may still say the same: strategies in a loop of their own make one per node.
    contents, content_of = distinct(
        [_Content(wire.down(record), _shape(record)) for record in records], lambda content: content.sent.data
    )
    return contents, content_of[record_of]


def _shape(record: RecordDict) -> str:
    """Return what of a content decides how much work it means: shapes of arrays, and the config."""
    parts: list[Any] = []
    for name, arrays in record.array_records.items():
        parts.append((name, [(key, array.dtype, tuple(array.shape)) for key, array in arrays.items()]))
    for name, config in record.config_records.items():
        parts.append((name, [(key, config[key]) for key in config if key not in KEYS_WITHOUT_WORK]))
    return repr(parts)
