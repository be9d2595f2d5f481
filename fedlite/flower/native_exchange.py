"""One batch of train or evaluate messages on its way through the native trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.client.assignment import Outcomes
from fedlite.client.job import METRIC, held_by, pack_memories, packet_of, unpack_memories
from fedlite.client.memory import storable
from fedlite.client.sending import decoded_update, held_only
from fedlite.client.stages.base import Stage
from fedlite.engine import chunks
from fedlite.engine.task import Result, Task
from fedlite.fleet.booking import Facts
from fedlite.flower import compat
from fedlite.flower.native_jobs import JobSheet
from fedlite.flower.native_replies import Answers, Computed, evaluation_reply
from fedlite.flower.witness import witness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import Error, Message, RecordDict

    from fedlite.client.memory import JobMemory
    from fedlite.compression.plan import Plan
    from fedlite.engine.pool import Ticket
    from fedlite.fleet.demands import Demands
    from fedlite.flower.native_clients import NativeClients

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class _Chunk:
    ticket: Ticket
    positions: Ids
    leg: int


class NativeExchange:
    """See `exchange.Exchange`. Uploads of codecs with a data-independent length are priced before training."""

    def __init__(self, side: NativeClients, kind: str, messages: Sequence[Message], devices: Ids, now_s: float) -> None:
        self._side = side
        self._sheet = JobSheet(side, kind, messages, devices, now_s)
        self._works = self._sheet.works()
        lengths = self._lengths()
        self._final = None not in lengths
        self._demands = self._sheet.demands(self._works, [length or 0 for length in lengths])
        self._facts: Facts | None = None
        self._loss = np.full(len(devices), np.nan)
        self._diverged = np.zeros(len(devices), dtype=bool)
        self._chunks: list[_Chunk] = []
        self._computed: list[Computed] = []

    # -- pricing ------------------------------------------------------------------------------------------------------

    @property
    def demands(self) -> Demands:
        """What the jobs ask of their devices."""
        return self._demands

    @property
    def final(self) -> bool:
        """Whether the lengths of all uploads are known before training."""
        return self._final

    def _lengths(self) -> list[int | None]:
        """Return the length of each leg's upload where it is the same for any values."""
        if self._sheet.kind == "evaluate":
            some = dict.fromkeys(self._side.task.metrics, 0.5)
            return [len(compat.to_bytes(evaluation_reply(1, some)))] * len(self._sheet.legs)
        return [leg.upload_bytes() for leg in self._sheet.legs]

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""
        if self._facts is None:
            self._facts = self._told()
        return self._facts

    def _told(self) -> Facts:
        sheet, train = self._sheet, self._sheet.kind == "train"
        raw_bytes = sheet.per_leg([leg.raw_bytes for leg in sheet.legs]).astype(np.int64)
        return Facts(
            plan=sheet.per_leg([leg.plan.name for leg in sheet.legs]),
            down_raw_bytes=raw_bytes,
            up_raw_bytes=raw_bytes if train else np.round(self._demands.up_bytes).astype(np.int64),
            examples=sheet.samples,
            steps=sheet.steps,
            loss=self._loss,
            reason=np.full(len(sheet), "", dtype=object),
            energy_low=self._works.low,
            energy_high=self._works.high,
            diverged=self._diverged,
        )

    @property
    def computed(self) -> Sequence[Computed]:
        """What came of the chunks, once they are finished."""
        return self._computed

    # -- computing ----------------------------------------------------------------------------------------------------

    def start(self, arriving: Bools, uploading: Bools) -> None:
        """Submit the jobs that matter, cut into chunks of one leg each."""
        sheet = self._sheet
        remembers = sheet.per_leg([_remembers(leg.plan) for leg in sheet.legs])
        wanted = uploading if not self._final else arriving | (uploading & remembers)
        if sheet.kind == "evaluate":
            wanted = arriving
        groups = [np.flatnonzero(wanted & (sheet.leg_of == leg)) for leg in range(len(sheet.legs))]
        groups = [group for group in groups if group.size]
        for positions in chunks.cut(groups, [self._macs(group) for group in groups]):
            leg = int(sheet.leg_of[positions[0]])
            ticket = self._side.pool.submit(self._task(positions, leg), sheet.legs[leg].shared)
            self._chunks.append(_Chunk(ticket, positions, leg))

    def _macs(self, group: Ids) -> float:
        """Return the multiply-accumulates of a group of one leg."""
        structure = self._sheet.legs[int(self._sheet.leg_of[group[0]])].plan.structure
        return self._side.task.training_macs(structure, float(self._sheet.samples[group].sum()))

    def _task(self, positions: Ids, leg: int) -> Task:
        sheet, plan = self._sheet, self._sheet.legs[leg].plan
        aggregation = self._side.aggregation
        devices = sheet.devices[positions].tolist()
        train = sheet.kind == "train"
        meta = {
            "plan": plan.record,
            "sum": train and aggregation.one_reply and self._final and _summable(plan),
            "equal_weights": aggregation.equal_weights,
            "config": sheet.legs[leg].content.local,
            "round": sheet.legs[leg].content.round_,
        }
        if train and self._side.tape is not None and self._side.tape.wants(sheet.legs[leg].content.round_):
            meta["packets"] = True
        memories = [self._side.memories.of(device, plan) for device in devices] if train else []
        arrays = {
            "clients": sheet.clients[positions],
            "seeds": sheet.seeds[positions],
            **pack_memories(memories),
        }
        return Task(sheet.kind, meta, arrays)

    def finish(self) -> None:
        """Collect all chunks, in order."""
        up_bytes = self._demands.up_bytes.copy()
        for chunk in self._chunks:
            result = self._side.pool.collect(chunk.ticket)
            self._computed.append(Computed(self._sheet.legs[chunk.leg], chunk.positions, result.arrays))
            self._loss[chunk.positions] = result.arrays["loss" if self._sheet.kind == "train" else METRIC + "loss"]
            if "lengths" in result.arrays:
                self._diverged[chunk.positions] = result.arrays["diverged"]
                up_bytes[chunk.positions] = result.arrays["lengths"] + result.arrays["extra_bytes"]
            self._note(result)
        self._demands, self._facts = replace(self._demands, up_bytes=up_bytes), None
        self._chunks = []

    def _note(self, result: Result) -> None:
        if "mode" in result.meta:
            self._side.modes.add(result.meta["mode"])

    # -- replies ------------------------------------------------------------------------------------------------------

    def settle(self, arrived: Bools, downloaded: Bools) -> None:
        """Remember what each device keeps and which model it holds; what a lost upload carried has to be sent again."""
        for position in np.flatnonzero(downloaded).tolist():
            self._side.downlink.hold(int(self._sheet.devices[position]), self._sheet.download(position))
        if self._sheet.kind == "train":
            self._side.task.assignment.note(self._outcomes(arrived))
            if self._side.tape is not None:
                equal = self._side.aggregation.equal_weights
                witness(self._side.tape, self._computed, self._sheet, arrived, equal_weights=equal)
        for done in self._computed:
            memories = unpack_memories(done.arrays, len(done.positions))
            for place, position in enumerate(done.positions.tolist()):
                memory = memories[place]
                if memory and not arrived[position]:
                    memory = _after_loss(done, place, memory)
                if memory:
                    self._side.memories.keep(int(self._sheet.devices[position]), done.leg.plan, memory)

    def _outcomes(self, arrived: Bools) -> Outcomes:
        sheet, facts = self._sheet, self.facts
        return Outcomes(
            sheet.round_,
            sheet.devices,
            sheet.assigned,
            arrived,
            up_bytes=self._demands.up_bytes,
            raw_bytes=facts.up_raw_bytes.astype(np.float64),
            loss=facts.loss,
            examples=sheet.own_examples,
        )

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the contents of the replies; where one stands for all, it is in the place of the first arrival."""
        answers = Answers(self._side, self._sheet.kind, self._sheet.contents, self._computed, arrived)
        return answers.records()


def _remembers(plan: Plan) -> bool:
    """Tell whether devices keep memory of a plan's parts, so that late jobs matter to their next ones."""
    return any(part.keeps_memory for part in plan.parts)


def _summable(plan: Plan) -> bool:
    """Tell whether the sum of several clients may come back in place of their packets."""
    return plan.structure.linear and not _remembers(plan)


def _after_loss(done: Computed, place: int, memory: JobMemory) -> JobMemory:
    """Return a device's memory after its packet did not reach the server."""
    plan = done.leg.plan
    held = held_by(done.arrays, place, len(done.leg.received))
    start = held_only(done.leg.received, held)
    decoded = held_only(decoded_update(packet_of(done.arrays, place), wire.parse_codec(plan.up), start), held)
    lost = {
        stage.name: stage.lost(decoded, memory[stage.name])
        for stage in plan.stages
        if isinstance(stage, Stage) and stage.name in memory
    }
    return storable({**memory, **lost})
