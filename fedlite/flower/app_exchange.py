"""One batch of messages on its way through a ClientApp that fedlite did not write.

Nobody can tell beforehand what foreign code will do. So the jobs run first; then their replies are measured, and their
work is counted where no job of the same shape was counted before; then the batch is priced. Jobs that turn out not to
have finished on their device are thrown away, reply and state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
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
from fedlite.flower.app_wire import Sent
from fedlite.flower.app_worker import packed, unpacked
from fedlite.flower.records import distinct
from fedlite.rng import seed_of
from fedlite.wire import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.engine.pool import Pool
    from fedlite.flower.app_classes import AppClass
    from fedlite.flower.app_prices import AppPrices
    from fedlite.flower.app_wire import AppWire

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

EXAMPLES: Final = ("num-examples", "num_examples")
"""Names under which messages of today and older clients report how many examples a job used."""
LOSSES: Final = ("train_loss", "eval_loss", "loss")
"""Names under which Flower's examples and strategies report a loss."""
_AT: Final = " at "
LONGEST_REASON: Final = 300
"""Characters of a reason that the ledger keeps."""
KEYS_WITHOUT_WORK: Final = frozenset(
    {
        *("server-round", "server_round", "current_round", "round", "lr", "learning-rate", "learning_rate"),
        compat.CLIPPING_NORM_KEY,
    }
)
"""Entries of a message's config that change from round to round without changing how much there is to do."""


class AppClients(Protocol):
    """The clients of a run, as an exchange sees them: where their code runs, what it costs, what they remember."""

    pool: Pool
    prices: AppPrices
    profile_of: NDArray[np.int16]
    """Profile of each device, shape (N,)."""
    classes: Sequence[AppClass]
    """What holds for the devices of each profile."""
    seed: int
    states: dict[int, bytes]
    """Each device's context state, as it was after its last reply that arrived."""
    counts: dict[str, Mapping[str, Any]]
    """Work by shape of job, counted once."""
    drops_diverged: bool
    """Whether replies whose numbers are none never reach the strategy."""
    tracebacks: dict[str, str]
    """The first traceback of each error of a job's code, by its `failure_key`."""
    tested: dict[int, Mapping[str, float]]
    """What each device's last evaluation that arrived told."""

    def node_config(self, device: int) -> dict[str, Any]:
        """Return what a node knows of itself."""

    def tell_misfits(self, kind: str, count: Mapping[str, Any] | None, down_bytes: float) -> None:
        """Tell of every class, once, on which jobs of this work can never run."""


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
    slept_s: float
    traceback: str = ""
    place: str = ""
    finite: bool = True
    """Whether its numbers are some, and such as its codec can hold."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    unchanged: bool = False
    """Whether the reply holds the very arrays that came down."""
    cost: JobCost = field(default_factory=JobCost)

    @property
    def examples(self) -> int:
        """How many examples the reply is about, 0 if it does not say."""
        return examples_of(self.metrics)

    @property
    def loss(self) -> float:
        """Its loss, not-a-number if it tells none."""
        return next((self.metrics[name] for name in LOSSES if name in self.metrics), float("nan"))


class AppExchange:
    """See `exchange.Exchange`. Computing begins when it is made; who asks what came of it waits for all of it."""

    def __init__(self, clients: AppClients, messages: Sequence[Message], devices: Ids, now_s: float) -> None:
        self._clients = clients
        self._devices = devices
        self._kind = messages[0].metadata.message_type.partition(".")[0]
        self._classes: list[AppClass] = [clients.classes[position] for position in clients.profile_of[devices].tolist()]
        self._contents, self._content_of = _contents(messages, [each.wire for each in self._classes])
        self._jobs: list[dict[str, Any]] = [
            {
                "fields": compat.fields_of(message),
                "content": f"content {content}",
                "node_config": clients.node_config(int(device)),
                "seed": seed_of(clients.seed, "app job", message.metadata.message_id) % 2**63,
                "start_s": now_s,
            }
            for message, content, device in zip(messages, self._content_of, devices, strict=True)
        ]
        self._states = [clients.states.get(device, b"") for device in devices.tolist()]
        self._shared = clients.pool.share(
            {f"content {i}": np.frombuffer(held.sent.data, dtype=np.uint8) for i, held in enumerate(self._contents)}
        )
        cut = chunks.cut([np.arange(len(self._jobs))])
        self._tickets = [clients.pool.submit(self._task("run", each.tolist()), self._shared) for each in cut]

    # -- computing ----------------------------------------------------------------------------------------------------

    def _task(self, kind: str, positions: Sequence[int]) -> Task:
        states, lengths = packed([self._states[position] for position in positions])
        return Task(
            kind,
            {"jobs": [self._jobs[position] for position in positions]},
            {"states": states, "state_lengths": lengths},
        )

    @cached_property
    def _ended(self) -> list[_Ended]:
        """What became of the jobs, priced."""
        ended = self._collected()
        self._price(ended)
        return ended

    def _collected(self) -> list[_Ended]:
        ended: list[_Ended] = []
        for ticket in self._tickets:
            result = self._clients.pool.collect(ticket)
            replies = unpacked(result.arrays["replies"], result.arrays["reply_lengths"])
            states = unpacked(result.arrays["states"], result.arrays["state_lengths"])
            for summary, reply, state in zip(result.meta["jobs"], replies, states, strict=True):
                error = None if summary["error"] is None else Error(*summary["error"])
                told = dict(summary["told"])
                sent = self._sent(len(ended), reply, error) if told.pop("finite", True) else None
                # What no codec can hold is paid for as Flower would send it, and thrown away.
                whole = Sent(reply, len(reply), len(reply))
                ended.append(_Ended(sent or whole, state, error, finite=sent is not None, **told))
        return ended

    def _drops(self, position: int) -> bool:
        """Tell whether a reply is thrown away because its numbers are none.

        Where they travel as they are, and the strategy is the app's own, that is its affair, as it is in Flower.
        """
        plain = self._classes[position].wire.plain_up and not self._clients.drops_diverged
        return not self._ended[position].finite and not plain

    def _sent(self, position: int, reply: bytes, error: Error | None) -> Sent | None:
        """Return what reaches the server, None if the codec cannot hold the reply's numbers."""
        if error is not None:
            length = compat.error_bytes(error)
            return Sent(b"", length, length)
        received = self._contents[self._content_of[position]].sent.data
        try:
            return self._classes[position].wire.up(reply, received, self._jobs[position]["seed"])
        except WireError:
            return None

    # -- pricing ------------------------------------------------------------------------------------------------------

    def _price(self, jobs: Sequence[_Ended]) -> None:
        """Count the work of jobs of new shapes, unless it is declared, and price all."""
        clients = self._clients
        types = [job["fields"]["type"] for job in self._jobs]
        keys = [self._work_key(position, ended) for position, ended in enumerate(jobs)]
        first: dict[str, int] = {}
        for position, key in enumerate(keys):
            if key not in clients.counts and clients.prices.counts(types[position]):
                first.setdefault(key, position)
        submit, task = clients.pool.submit, self._task
        tickets = [(key, submit(task("count", [position]), self._shared)) for key, position in first.items()]
        for key, ticket in tickets:
            clients.counts[key] = clients.pool.collect(ticket).meta["counts"][0]
            sent = self._contents[self._content_of[first[key]]].sent
            clients.tell_misfits(types[first[key]], clients.counts[key], sent.encoded_bytes)
            if jobs[first[key]].error is None:
                clients.prices.note_uncounted(types[first[key]], clients.counts[key])
        for ended, key, kind, device in zip(jobs, keys, types, self._devices.tolist(), strict=True):
            ended.cost = clients.prices.of(kind, clients.counts.get(key), int(clients.profile_of[device]))

    def _work_key(self, position: int, ended: _Ended) -> str:
        """Return what two jobs of equal work have in common."""
        shape = self._contents[self._content_of[position]].shape
        kind = self._jobs[position]["fields"]["type"]
        # Who sends back what it got did probably not train, whatever it says, and is no measure of those who did.
        return f"{kind}\x1f{shape}\x1f{ended.examples}\x1f{ended.error is not None}\x1f{ended.unchanged}"

    @property
    def demands(self) -> Demands:
        """What the jobs asked of their devices."""
        received = [self._contents[content].sent for content in self._content_of]
        down_bytes = np.array([sent.encoded_bytes for sent in received], dtype=np.float64)
        return Demands(
            down_bytes=down_bytes,
            up_bytes=np.array([ended.reply.encoded_bytes for ended in self._ended], dtype=np.float64),
            train_s=np.array([ended.cost.time_s for ended in self._ended]),
            slept_s=np.array([ended.slept_s for ended in self._ended]),
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
            plan=np.array([each.plan for each in self._classes]),
            down_raw_bytes=np.array([self._contents[content].sent.raw_bytes for content in self._content_of]),
            up_raw_bytes=np.array([e.reply.raw_bytes for e in ended]),
            examples=np.array([e.examples for e in ended], dtype=np.int64),
            steps=np.array([e.cost.steps for e in ended], dtype=np.int64),
            loss=np.array([e.loss for e in ended]),
            reason=np.array(["" if e.error is None else _reason(e.error, e.place) for e in ended], dtype=np.object_),
            energy_low=np.array([e.cost.low for e in ended]),
            energy_high=np.array([e.cost.high for e in ended]),
            diverged=np.array([self._drops(place) for place in range(len(ended))]),
        )

    # -- answering ----------------------------------------------------------------------------------------------------

    def settle(self, arrived: Bools, downloaded: Bools) -> None:
        """Keep the state of the nodes whose reply arrived; the others are as before, as in Flower after an error."""
        del downloaded  # apps get every model whole
        for position in np.flatnonzero(arrived).tolist():
            device, ended = int(self._devices[position]), self._ended[position]
            self._clients.states[device] = ended.state
            if self._kind == "evaluate":
                self._clients.tested[device] = ended.metrics
        for ended, reason in zip(self._ended, self.facts.reason, strict=True):
            if reason:
                self._clients.tracebacks.setdefault(failure_key(reason), ended.traceback)

    def replies(self, arrived: Bools) -> list[RecordDict | Error | None]:
        """Return a reply for each job that arrived, and the error of each whose code raised one."""
        return [
            ended.error if ended.error is not None else compat.from_bytes(ended.reply.data) if here else None
            for ended, here in zip(self._ended, arrived.tolist(), strict=True)
        ]


def examples_of(metrics: Mapping[str, float]) -> int:
    """Return how many examples a reply's metrics are about, 0 if they do not say."""
    told = next((metrics[name] for name in EXAMPLES if name in metrics), 0.0)
    return int(told) if np.isfinite(told) else 0


def _reason(error: Error, place: str) -> str:
    """Return what an error says and where it was raised, in one line that is never empty."""
    said = " ".join((error.reason or "").split())[:LONGEST_REASON] or f"error {error.code} without a reason"
    return f"{said}{_AT}{place}" if place else said


def failure_key(reason: str) -> str:
    """Return what the reasons of one error have in common, whatever its words: its type and its place."""
    said, at, place = reason.rpartition(_AT)
    return f"{said.partition(':')[0]}{at}{place}" if at else reason


def _contents(messages: Sequence[Message], wires: Sequence[AppWire]) -> tuple[list[_Content], Ids]:
    """Return what the messages carry, as clients read it, and which of it each message carries.

    `wires` are those of the messages' devices.
    """
    pairs = [(message.content, wire) for message, wire in zip(messages, wires, strict=True)]
    records, record_of = distinct(pairs, lambda pair: (id(pair[0]), id(pair[1])))
    # Records apart may still say the same: strategies in a loop of their own make one per node.
    contents, content_of = distinct(
        [_Content(wire.down(record), _shape(record)) for record, wire in records],
        lambda content: (content.sent.data, content.sent.encoded_bytes),
    )
    return contents, content_of[record_of]


def _shape(record: RecordDict) -> str:
    """Return what of a content decides how much work it means: shapes of arrays, and the config."""
    parts: list[Any] = []
    for name, arrays in record.array_records.items():
        # Older servers tell neither type nor shape.
        parts.append((name, [(key, array.dtype, tuple(array.shape), len(array.data)) for key, array in arrays.items()]))
    for name, config in record.config_records.items():
        parts.append((name, [(key, config[key]) for key in config if key not in KEYS_WITHOUT_WORK]))
    return repr(parts)
