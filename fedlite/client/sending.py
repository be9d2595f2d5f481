"""What clients send after training: the update through the plan's stages, then through its codec, as real packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.job import EVERY_REPLY
from fedlite.client.stages.base import Applied, Sending, Stage
from fedlite.client.stages.error_feedback import check_one_owes
from fedlite.compression.part import PartError
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.client.memory import JobMemory
    from fedlite.compression.overlap import Held
    from fedlite.compression.plan import Plan
    from fedlite.learning.training.records import CohortResult

Array = NDArray[Any]


@dataclass
class Sent:
    """What K clients send: packets, bytes of stages beside them, what stages remember, and numbers for the reply."""

    packets: list[bytes] = field(default_factory=list)
    extra_bytes: list[int] = field(default_factory=list)
    memories: list[JobMemory] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)

    def extend(self, other: Sent) -> None:
        """Add the clients of a later part of the chunk."""
        self.packets += other.packets
        self.extra_bytes += other.extra_bytes
        self.memories += other.memories
        self.metrics += other.metrics


def send(
    cohort: CohortResult,
    plan: Plan,
    seeds: Sequence[int],
    memories: Sequence[JobMemory],
    round_: int = 0,
    clients: Sequence[int] = (),
) -> Sent:
    """Encode what each client of a chunk sends.

    Parameters
    ----------
    cohort : CohortResult
        What K clients learnt.
    plan : Plan
    seeds : sequence of K int
        Name the streams of each client's stages and stochastic rounding.
    memories : sequence of K mappings
        What each device remembers of the plan's stages.
    round_ : int
        The server's.
    clients : sequence of K int, optional
        Whose data each client has.
    """
    codec = wire.parse_codec(plan.up)
    if plan.stages:
        sent = Sent()
        for place, seed in enumerate(seeds):
            whose = clients[place] if len(clients) else -1
            sent.extend(_staged(cohort, place, plan, codec, seed, memories[place], round_, whose))
        return sent
    rngs = [_rounding(codec, seed) for seed in seeds]
    stacked = cohort.arrays
    if codec.sends_update:
        stacked = [_difference(new, old) for new, old in zip(cohort.arrays, cohort.start, strict=True)]
    nothing: list[JobMemory] = [{} for _ in seeds]
    return Sent(wire.encode_many(stacked, codec, rngs), [0] * len(seeds), nothing)


def _staged(
    cohort: CohortResult,
    place: int,
    plan: Plan,
    codec: wire.Codec,
    seed: int,
    memory: JobMemory,
    round_: int,
    client: int,
) -> Sent:
    """Take one client's update through the stages of its plan."""
    update = wire.to_update([stacked[place] for stacked in cohort.arrays], cohort.start)
    stages = [stage for stage in plan.stages if isinstance(stage, Stage)]
    check_one_owes(stages)
    kept: JobMemory = {}
    metrics: dict[str, float] = {}
    extra_bytes = 0
    for number, stage in enumerate(stages):
        # A second stage of one name has a stream of its own.
        before = [other.name for other in stages[:number] if other.name == stage.name]
        job = Sending(
            start=cohort.start,
            round_=round_,
            examples=int(cohort.num_examples[place]),
            memory=memory.get(stage.name, {}) if stage.remembers else {},
            rng=stream(seed, f"local {stage.name}", *before),
            held=cohort.held,
            client=client,
        )
        applied = _checked(stage.apply(update, job), update, stage)
        update, kept[stage.name] = applied.update, applied.memory
        metrics |= applied.metrics
        extra_bytes += len(applied.extra)
    values = update if codec.sends_update else wire.from_update(update, cohort.start)
    packet = wire.encode(values, codec, _rounding(codec, seed))
    after: JobMemory = {}
    if keeping := [stage for stage in stages if stage.remembers]:
        # Only what the client holds is read: sign, say, decodes to something everywhere, and nothing of that arrives.
        learnt, decoded = (held_only(u, cohort.held) for u in (update, decoded_update(packet, codec, cohort.start)))
        after = {stage.name: stage.sent(learnt, decoded, kept[stage.name]) for stage in keeping}
    return Sent([packet], [extra_bytes], [after], [metrics])


def _checked(applied: object, update: Sequence[Array], stage: Stage) -> Applied:
    where, wanted = f"stage {stage.name!r}", [np.shape(part) for part in update]
    if not isinstance(applied, Applied):
        raise PartError(f"{where}: got {type(applied).__name__}, expected Applied(update); return that")
    if [np.shape(part) for part in applied.update] != wanted:
        raise PartError(f"{where}: got an update of other shapes, expected {wanted}; keep every shape")
    for said, kind in (("memory", Mapping), ("metrics", Mapping), ("extra", bytes)):
        value = getattr(applied, said)
        if not isinstance(value, kind):
            raise PartError(f"{where}: got {type(value).__name__} as {said}, expected {kind.__name__}; return one")
    metrics: Mapping[str, object] = applied.metrics
    for name, value in metrics.items():
        if not isinstance(value, Real | np.bool_):
            raise PartError(f"{where}: got {value!r} as the metric {name!r}, expected a number; return one")
        if name in EVERY_REPLY:
            raise PartError(f"{where}: got the metric {name!r}, which every reply has already; call it otherwise")
    for said, declared in (("memory", "remembers"), ("extra", "adds_bytes")):
        if getattr(applied, said) and not getattr(stage, declared):
            raise PartError(
                f"{where}: got {said}, expected none of a stage that does not say so; write {declared} = True"
            )
    return applied


def decoded_update(packet: bytes, codec: wire.Codec, start: Sequence[Array]) -> list[Array]:
    """Return what a packet says of the update, whether it carries the update or the weights."""
    values = wire.decode(packet, like=start)
    return values if codec.sends_update else wire.to_update(values, start)


def decoded_weights(packet: bytes, codec: wire.Codec, start: Sequence[Array]) -> list[Array]:
    """Return the weights that a server reads from a packet, given those that training began from."""
    values = wire.decode(packet, like=start)
    return wire.from_update(values, start) if codec.sends_update else values


def decoded_stack(packets: Sequence[bytes], codec: wire.Codec, start: Sequence[Array]) -> list[Array]:
    """Return the same for the packets of one chunk as they were just encoded, stacked: each tensor (K, *shape)."""
    stacked = wire.decode_many(packets, like=start, intact=True)
    return wire.from_update(stacked, start) if codec.sends_update else stacked


def held_only(arrays: Sequence[Array], held: Held | None) -> list[Array]:
    """Return arrays with zeros where the client holds nothing: of what was received, what training began from."""
    if held is None:
        return list(arrays)
    return [
        array if mask is None else np.where(mask, array, np.zeros((), array.dtype))
        for array, mask in zip(arrays, held, strict=True)
    ]


def _difference(stacked: Array, one: Array) -> Array:
    """Return each client's difference; integer tensors are values."""
    return stacked - one if wire.is_float(stacked) else stacked


def _rounding(codec: wire.Codec, seed: int) -> np.random.Generator | None:
    return stream(seed, "encode") if codec.stochastic else None
