"""The native worker: decodes what came down, trains a chunk of clients of one plan, encodes what goes up.

Everything on the wire is really encoded and really decoded here. Where the server only needs the weighted mean, the
decoded updates are summed in the actor and one sum comes back; otherwise every client's packet does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.compression import magnitude
from fedlite.compression.overlap import OverlapSum
from fedlite.engine.task import Arrays, Result, Task
from fedlite.learning import models
from fedlite.learning.training.records import ClientJob, CohortResult, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.privacy.clipping import add_noise, clip_update
from fedlite.rng import stream
from fedlite.wire import error_feedback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = NDArray[Any]

METRIC = "metric/"
"""Prefix of the arrays that an evaluation gives, one per metric, a number for each client."""


class NativeWorker:
    """Trains and evaluates clients of one task.

    Parameters
    ----------
    data : arrays
        `x`, `y` (training rows), `rows` and `starts` (client c owns `rows[starts[c]:starts[c + 1]]`); for evaluation
        likewise with the prefix `test_`.
    model : mapping
        `name`, `input_shape`, `num_classes`, `seed` and `params` of `learning.models.build`.
    local : mapping
        Fields of `LocalConfig`.
    plans : sequence of mappings
        Fields of `CompressionPlan`; tasks name a plan by position.
    mode : str
        Execution mode of the trainer.
    objective : str
        Name of what is learned.
    """

    def __init__(
        self,
        data: Arrays,
        model: Mapping[str, Any],
        local: Mapping[str, Any],
        plans: Sequence[Mapping[str, Any]],
        mode: str,
        objective: str,
    ) -> None:
        self._data = data
        self._model = model
        self._local = LocalConfig(**local)
        self._plans = plans
        self._mode = mode
        self._objective = objective
        for plan in plans:  # packets may name stages of the user's own only if this process was asked for them
            wire.parse_codec(tuple(plan["uplink"]))
            wire.parse_codec(tuple(plan["downlink"]))
        self._trainers: dict[float, tuple[Trainer, list[str]]] = {}

    def run(self, task: Task, shared: Arrays) -> Result:
        """Run a "train" or an "evaluate" task."""
        plan = self._plans[task.meta["plan"]]
        received = wire.decode(shared[task.meta["packet"]])
        trainer, names = self._trainer(plan["width"])
        if task.kind == "evaluate":
            return self._evaluate(task, trainer, received)
        masks = magnitude.masks(received, names, plan["sparsity"], plan["scope"]) if plan["sparsity"] else None
        start = magnitude.apply(received, masks) if masks else received
        config = LocalConfig(**{**self._local.__dict__, **task.meta["config"]})
        jobs = [
            ClientJob(self._rows(int(client)), int(seed))
            for client, seed in zip(task.arrays["clients"], task.arrays["seeds"], strict=True)
        ]
        cohort = trainer.train(start, jobs, self._data["x"], self._data["y"], config, masks=masks, bits=plan["bits"])
        uploads = _Uploads(plan, received, task)
        return uploads.reduced(cohort) if task.meta["reduce"] else uploads.separate(cohort)

    def _rows(self, client: int, prefix: str = "") -> NDArray[np.int64]:
        starts = self._data[f"{prefix}starts"]
        return np.asarray(self._data[f"{prefix}rows"][starts[client] : starts[client + 1]])

    def _trainer(self, width: float) -> tuple[Trainer, list[str]]:
        if width not in self._trainers:
            net = models.build(
                self._model["name"],
                input_shape=tuple(self._model["input_shape"]),
                num_classes=self._model["num_classes"],
                width=width * self._model["width"],
                seed=self._model["seed"],
                **self._model["params"],
            )
            self._trainers[width] = Trainer(net, objective=self._objective, mode=self._mode), list(net.state_dict())
        return self._trainers[width]

    def _evaluate(self, task: Task, trainer: Trainer, received: Sequence[Array]) -> Result:
        clients = task.arrays["clients"].tolist()
        rows = [self._rows(client, "test_") for client in clients]
        chosen, owner = np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        x, y = self._data["test_x"][chosen], self._data["test_y"][chosen]
        score = trainer.evaluate_many(list(received), x, y, owner)
        arrays: dict[str, Array] = {"num_examples": np.zeros(len(rows), np.int64)}
        arrays["num_examples"][score.client] = score.num_examples
        for name, values in score.metrics.items():
            arrays[METRIC + name] = np.full(len(rows), np.nan)
            arrays[METRIC + name][score.client] = values
        return Result({}, arrays)


class _Uploads:
    """What K clients of one plan send after training."""

    def __init__(self, plan: Mapping[str, Any], received: list[Array], task: Task) -> None:
        self._codec = wire.parse_codec(tuple(plan["uplink"]))
        self._feedback = bool(plan["error_feedback"])
        self._received = received
        self._clipping_norm = task.meta["clipping_norm"]
        self._noise_std = task.meta["noise_std"]
        self._equal_weights = task.meta["equal_weights"]
        self._seeds = task.arrays["seeds"]
        self._residuals = task.arrays.get("residuals")
        self._clipped: list[bool] = []
        self._left: list[Array] = []

    def separate(self, cohort: CohortResult) -> Result:
        """Return every client's packet."""
        packets = self._packets(cohort)
        joined = np.frombuffer(b"".join(packets), dtype=np.uint8)
        return self._result(cohort, packets, {"packets": joined})

    def reduced(self, cohort: CohortResult) -> Result:
        """Return the weighted sum of what the server would decode, in the plan's own coordinates."""
        packets = self._packets(cohort)
        stacked = wire.decode_many(packets)
        if self._codec.sends_update:
            stacked = [_added(update, old) for update, old in zip(stacked, self._received, strict=True)]
        weights = np.ones(len(packets)) if self._equal_weights else cohort.num_examples.astype(np.float64)
        total = OverlapSum([array.shape for array in self._received])
        total.add_stacked(stacked, weights)
        arrays = {f"sum/{position}": values for position, values in enumerate(total.sums)}
        arrays["weight"] = np.asarray(sum(weights.tolist()), dtype=np.float64)
        return self._result(cohort, packets, arrays)

    def _packets(self, cohort: CohortResult) -> list[bytes]:
        """Encode what each client sends; clients whose update is treated one by one are encoded one by one."""
        clients = range(len(cohort.num_examples))
        if self._feedback or self._clipping_norm is not None or self._noise_std:
            return [self._packet([stacked[k] for stacked in cohort.arrays], k) for k in clients]
        rngs = [self._rng(k) for k in clients]
        if not self._codec.sends_update:
            return wire.encode_many(cohort.arrays, self._codec, rngs)
        updates = [_added(new, -old) for new, old in zip(cohort.arrays, self._received, strict=True)]
        return wire.encode_many(updates, self._codec, rngs)

    def _rng(self, k: int) -> np.random.Generator | None:
        return stream(int(self._seeds[k]), "encode") if self._codec.stochastic else None

    def _packet(self, arrays: list[Array], k: int) -> bytes:
        if self._clipping_norm is not None:
            arrays, clipped = clip_update(arrays, self._received, self._clipping_norm)
            self._clipped.append(clipped)
        if self._noise_std:
            arrays = add_noise(arrays, self._noise_std, stream(int(self._seeds[k]), "local noise"))
        if not self._codec.sends_update:
            return wire.encode(arrays, self._codec, self._rng(k))
        update = wire.to_update(arrays, self._received)
        if not self._feedback:
            return wire.encode(update, self._codec, self._rng(k))
        residual = None if self._residuals is None else unflatten(self._residuals[k], update)
        packet, left = error_feedback.compress(update, residual, self._codec, self._rng(k))
        self._left.append(flatten(left))
        return packet

    def _result(self, cohort: CohortResult, packets: list[bytes], arrays: dict[str, Array]) -> Result:
        arrays["lengths"] = np.array([len(packet) for packet in packets], dtype=np.int64)
        arrays |= {"num_examples": cohort.num_examples, "loss": cohort.loss, "steps": cohort.steps}
        if self._clipped:
            arrays["clipped"] = np.array(self._clipped)
        if self._left:
            arrays["residuals"] = np.stack(self._left)
        return Result({"mode": cohort.mode}, arrays)


def _added(stacked: Array, one: Array) -> Array:
    """Add one tensor to each client's; integer tensors are values, not differences."""
    return stacked + one if stacked.dtype.kind == "f" else stacked


def decoded(packet: bytes, received: Sequence[Array], codec: wire.Codec) -> list[Array]:
    """Return the model that a server reads from a packet, given the model that the client had received."""
    values = wire.decode(packet)
    return wire.from_update(values, received) if codec.sends_update else values


def flatten(arrays: Sequence[Array]) -> Array:
    """Join the floating tensors of a residual into one float32 vector."""
    return np.concatenate([array.ravel().astype(np.float32) for array in arrays])


def unflatten(vector: Array, like: Sequence[Array]) -> list[Array]:
    """Cut a residual vector into tensors shaped and typed as `like`."""
    ends = np.cumsum([array.size for array in like])[:-1]
    return [
        part.reshape(array.shape).astype(array.dtype) for part, array in zip(np.split(vector, ends), like, strict=True)
    ]
