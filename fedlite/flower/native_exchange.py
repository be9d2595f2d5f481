"""One batch of train or evaluate messages on its way through the native trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedlite import wire
from fedlite.compression import width
from fedlite.compression.overlap import OverlapSum
from fedlite.engine import chunks
from fedlite.engine.native import METRIC, decoded, flatten, unflatten
from fedlite.engine.task import Result, Task
from fedlite.fleet.pricing import Work
from fedlite.flower import compat
from fedlite.flower.exchange import Facts
from fedlite.flower.records import averageable, distinct, from_record, in_types, to_record
from fedlite.rng import seed_of, stream
from fedlite.wire import error_feedback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compression.width import IndexMap
    from fedlite.engine.pool import Shared, Ticket
    from fedlite.flower.native_clients import NativeClients

Array = NDArray[Any]
Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

EQUAL_WEIGHT = "equal-weight"
"""Metric that is 1 in every reply: the key for strategies that weigh clients equally."""
LOCAL_KEYS = {"proximal-mu": "proximal_mu", "lr": "lr", "local-epochs": "epochs", "max-steps": "max_steps"}
"""Entries of a message's config that change the local training, as Flower's strategies and examples name them."""


@dataclass
class _Content:
    """One distinct message content: the model it carries, its config, and what it became on the wire."""

    arrays: list[Array]
    config: ConfigRecord
    packets: dict[int, bytes]
    received: dict[int, list[Array]]
    shared: Shared | None = None


@dataclass(frozen=True)
class _Chunk:
    ticket: Ticket
    positions: Ids
    content: int
    plan: int


class NativeExchange:
    """See `exchange.Exchange`. Uploads of codecs with a data-independent length are priced before training."""

    def __init__(self, side: NativeClients, kind: str, messages: Sequence[Message], devices: Ids) -> None:
        self._side = side
        self._kind = kind
        self._devices = devices
        task = side.task
        self._profiles = side.profile_of[devices]
        self._plans = task.plan_of_profile[self._profiles]
        self._clients = devices % task.clients
        self._seeds = np.array(
            [seed_of(side.seed, kind, message.metadata.message_id) for message in messages], dtype=np.uint64
        )
        records, self._content_of = distinct([message.content for message in messages], id)
        self._contents = [self._content(record) for record in records]
        for content, plan in sorted(set(zip(self._content_of.tolist(), self._plans.tolist(), strict=True))):
            self._encode_downlink(content, plan)
        self._results: list[tuple[_Chunk, Result]] = []
        self._chunks: list[_Chunk] = []
        self._reduce = False
        lengths = {plan: self._upload_bytes(plan) for plan in sorted(set(self._plans.tolist()))}
        self._final = all(length is not None for length in lengths.values())
        self._work = self._priced(lengths)
        self._loss = np.full(len(devices), np.nan)

    # -- pricing ------------------------------------------------------------------------------------------------------

    @property
    def work(self) -> Work:
        """What the jobs ask of their devices."""
        return self._work

    @property
    def final(self) -> bool:
        """Whether the lengths of all uploads are known before training."""
        return self._final

    def _content(self, record: RecordDict) -> _Content:
        arrays = from_record(next(iter(record.array_records.values())))
        config = next(iter(record.config_records.values()), ConfigRecord())
        return _Content(in_types(arrays, self._side.task.dtypes), config.copy(), {}, {})

    def _encode_downlink(self, content: int, plan: int) -> None:
        held = self._contents[content]
        held.packets[plan] = self._side.downlink(held.arrays, plan)
        held.received[plan] = wire.decode(held.packets[plan])

    def _upload_bytes(self, plan: int) -> int | None:
        """Return the length of a plan's upload if it is the same for any values, by encoding some."""
        if self._kind == "evaluate":
            return len(compat.to_bytes(_evaluation_reply(1, dict.fromkeys(self._side.task.metrics, 0.5))))
        codec = wire.parse_codec(self._side.task.plans[plan].uplink)
        if codec.sparsifier is not None or codec.lossless is not None:
            return None
        content = next(held for held in self._contents if plan in held.received)
        zeros = [np.zeros_like(array) for array in content.received[plan]]
        return len(wire.encode(zeros, codec, stream(0, "length") if codec.stochastic else None))

    def _priced(self, lengths: dict[int, int | None]) -> Work:
        task = self._side.task
        costs = [task.costs[profile] for profile in self._profiles]
        down_bytes = np.array(
            [
                len(self._contents[content].packets[plan])
                for content, plan in zip(self._content_of.tolist(), self._plans.tolist(), strict=True)
            ],
            dtype=np.float64,
        )
        up_bytes = np.array([lengths[plan] or 0 for plan in self._plans.tolist()], dtype=np.float64)
        if self._kind == "evaluate":
            train_s = self._examples * np.array([cost.inference_s for cost in costs])
        else:
            fixed_s = np.array([cost.fixed_s for cost in costs])
            train_s = self._steps * fixed_s + self._samples * np.array([cost.per_sample_s for cost in costs])
        peak_bytes = np.array([cost.peak_bytes for cost in costs])
        storage_bytes = down_bytes + self._examples * task.sample_bytes
        return Work(down_bytes, up_bytes, train_s, peak_bytes, storage_bytes)

    @property
    def _examples(self) -> Ids:
        task = self._side.task
        return (task.test_examples if self._kind == "evaluate" else task.examples)[self._clients]

    def _config_of(self, content: int) -> dict[str, Any]:
        """Return what a message's config changes in the local training."""
        config = self._contents[content].config
        return {field: config[key] for key, field in LOCAL_KEYS.items() if key in config}

    @property
    def _steps(self) -> Ids:
        locals_ = [replace(self._side.task.local, **self._config_of(i)) for i in range(len(self._contents))]
        pairs = zip(self._examples.tolist(), self._content_of.tolist(), strict=True)
        return np.array([locals_[content].steps(n) for n, content in pairs], dtype=np.int64)

    @property
    def _samples(self) -> Ids:
        """Samples processed: every epoch sees each example once, unless the steps are capped."""
        local = self._side.task.local
        epochs = np.array([self._config_of(i).get("epochs", local.epochs) for i in range(len(self._contents))])
        samples: Ids = np.minimum(self._examples * epochs[self._content_of], self._steps * local.batch_size)
        return samples

    # -- computing ----------------------------------------------------------------------------------------------------

    def start(self, alive: Bools) -> None:
        """Submit the jobs that can still arrive, cut into chunks of one content and one plan each."""
        self._reduce = self._side.reduce and self._final and self._kind == "train"
        keys = self._content_of * len(self._side.task.plans) + self._plans
        groups = [np.flatnonzero(alive & (keys == key)) for key in np.unique(keys[alive])]
        samples = self._samples if self._kind == "train" else self._examples
        macs = [float(samples[g].sum()) * self._side.task.macs[int(self._plans[g[0]])] for g in groups]
        for positions in chunks.cut(groups, macs):
            content, plan = int(self._content_of[positions[0]]), int(self._plans[positions[0]])
            ticket = self._side.pool.submit(self._task(positions, content, plan), self._shared(content))
            self._chunks.append(_Chunk(ticket, positions, content, plan))

    def _shared(self, content: int) -> Shared:
        held = self._contents[content]
        if held.shared is None:
            packets = {f"plan {plan}": np.frombuffer(packet, np.uint8) for plan, packet in held.packets.items()}
            held.shared = self._side.pool.share(packets)
        return held.shared

    def _task(self, positions: Ids, content: int, plan: int) -> Task:
        guard = self._side.guard
        clipping_norm = self._contents[content].config.get(compat.CLIPPING_NORM_KEY, guard.clipping_norm)
        meta = {
            "plan": plan,
            "packet": f"plan {plan}",
            "reduce": self._reduce,
            "equal_weights": self._side.equal_weights,
            "config": self._config_of(content),
            "clipping_norm": clipping_norm,
            "noise_std": guard.noise_std,
        }
        arrays: dict[str, Array] = {"clients": self._clients[positions], "seeds": self._seeds[positions]}
        if self._side.task.plans[plan].error_feedback and self._kind == "train":
            like = self._contents[content].received[plan]
            nothing = np.zeros(sum(array.size for array in like), dtype=np.float32)
            devices = self._devices[positions].tolist()
            arrays["residuals"] = np.stack([self._side.residuals.get(device, nothing) for device in devices])
        return Task(self._kind, meta, arrays)

    def finish(self) -> None:
        """Collect all chunks, in order."""
        up_bytes = self._work.up_bytes.copy()
        for chunk in self._chunks:
            result = self._side.pool.collect(chunk.ticket)
            self._results.append((chunk, result))
            self._loss[chunk.positions] = result.arrays["loss"]
            if "lengths" in result.arrays:
                up_bytes[chunk.positions] = result.arrays["lengths"]
            if "mode" in result.meta:
                self._side.modes.add(result.meta["mode"])
        self._work = replace(self._work, up_bytes=up_bytes)
        self._chunks = []

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""
        task = self._side.task
        n = len(self._devices)
        raw = {
            plan: sum(array.nbytes for array in self._contents[content].received[plan])
            for content, plan in zip(self._content_of.tolist(), self._plans.tolist(), strict=True)
        }
        raw_bytes = np.array([raw[plan] for plan in self._plans.tolist()], dtype=np.int64)
        train = self._kind == "train"
        costs = [task.costs[profile] for profile in self._profiles]
        return Facts(
            plan=np.array([task.plans[plan].name for plan in self._plans]),
            down_raw_bytes=raw_bytes,
            up_raw_bytes=raw_bytes if train else np.round(self._work.up_bytes).astype(np.int64),
            examples=self._samples if train else self._examples,
            steps=self._steps if train else np.zeros(n, dtype=np.int64),
            loss=self._loss,
            failed=np.zeros(n, dtype=bool),
            energy_low=np.array([cost.low for cost in costs]),
            energy_high=np.array([cost.high for cost in costs]),
        )

    # -- replies ------------------------------------------------------------------------------------------------------

    def settle(self, arrived: Bools) -> None:
        """Remember what each client has left to send; a lost upload still has to be sent in full."""
        for chunk, result in self._results:
            if "residuals" not in result.arrays:
                continue
            like = self._contents[chunk.content].received[chunk.plan]
            for place, position in enumerate(chunk.positions.tolist()):
                left = result.arrays["residuals"][place]
                if not arrived[position]:
                    lost = _packet(result, place)
                    left = flatten(error_feedback.restore(unflatten(left, like), lost))
                self._side.residuals[int(self._devices[position])] = left

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the contents of the replies; of a reduced round one, in the place of the first arrival."""
        replies: list[RecordDict | Error | None] = [None] * len(arrived)
        if self._kind == "train" and self._side.reduce and len(self._contents) == 1:
            if arrived.any():
                replies[int(np.flatnonzero(arrived)[0])] = self._mean_reply(arrived)
            return replies
        answer = self._evaluation if self._kind == "evaluate" else self._reply
        for chunk, result in self._results:
            for place, position in enumerate(chunk.positions.tolist()):
                if arrived[position]:
                    replies[position] = answer(chunk, result, place)
        return replies

    def _model(self, chunk: _Chunk, result: Result, place: int) -> list[Array]:
        """Decode one client's packet into its plan's tensors."""
        codec = wire.parse_codec(self._side.task.plans[chunk.plan].uplink)
        return decoded(_packet(result, place), self._contents[chunk.content].received[chunk.plan], codec)

    def _mean_reply(self, arrived: Bools) -> RecordDict:
        """Return the mean over the clients that hold each coordinate, as if one client had held all their data."""
        arrays = self._contents[0].arrays
        total = OverlapSum([array.shape for array in arrays])
        examples, loss = 0, 0.0
        for chunk, result in self._results:
            maps = self._maps(chunk.plan)
            counts = result.arrays["num_examples"]
            arrivals = np.flatnonzero(arrived[chunk.positions])
            if self._reduce:
                sums = [result.arrays[f"sum/{i}"] for i in range(len(arrays))]
                total.add_sums(sums, float(result.arrays["weight"]), maps)
            else:
                for place in arrivals.tolist():
                    weight = 1.0 if self._side.equal_weights else float(counts[place])
                    total.add(self._model(chunk, result, place), weight, maps)
            examples += int(counts[arrivals].sum())
            loss += float((counts[arrivals] * result.arrays["loss"][arrivals]).sum())
        return self._train_reply(total.finish(arrays), examples, loss / max(examples, 1))

    def _maps(self, plan: int) -> Sequence[IndexMap] | None:
        task = self._side.task
        return task.maps[plan] if task.plans[plan].width < 1 else None

    def _reply(self, chunk: _Chunk, result: Result, place: int) -> RecordDict:
        """Return one client's reply; what a narrower plan does not hold keeps its global value."""
        arrays = self._model(chunk, result, place)
        if (maps := self._maps(chunk.plan)) is not None:
            arrays = width.put(self._contents[chunk.content].arrays, maps, arrays)
        values = result.arrays
        reply = self._train_reply(arrays, int(values["num_examples"][place]), float(values["loss"][place]))
        if "clipped" in values:
            reply.metric_records["metrics"][compat.NORM_BIT_KEY] = int(values["clipped"][place])
        return reply

    def _train_reply(self, arrays: list[Array], examples: int, loss: float) -> RecordDict:
        record = to_record(self._side.task.names, averageable(arrays))
        metrics = MetricRecord({"num-examples": examples, "train_loss": loss, EQUAL_WEIGHT: 1.0})
        return RecordDict({"arrays": record, "metrics": metrics})

    def _evaluation(self, chunk: _Chunk, result: Result, place: int) -> RecordDict:
        del chunk
        values = result.arrays
        metrics = {name: float(values[METRIC + name][place]) for name in self._side.task.metrics}
        return _evaluation_reply(int(values["num_examples"][place]), metrics)


def _packet(result: Result, place: int) -> bytes:
    """Return one client's packet out of a chunk's."""
    lengths = result.arrays["lengths"]
    end = int(lengths[: place + 1].sum())
    packet: bytes = result.arrays["packets"][end - int(lengths[place]) : end].tobytes()
    return packet


def _evaluation_reply(examples: int, metrics: Mapping[str, float]) -> RecordDict:
    told = {f"eval_{name}": value for name, value in metrics.items()}
    return RecordDict({"metrics": MetricRecord({"num-examples": examples, **told, EQUAL_WEIGHT: 1.0})})
