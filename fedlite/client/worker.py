"""The worker of native clients: trains a chunk of jobs of one plan from what came down, encodes what goes up.

Everything on the wire is really encoded and really decoded: down once per leg, on the server's side, and up here. Where
the server only needs the weighted mean, the decoded results are summed in the actor and one sum comes back; otherwise
every client's packet does.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import own_code, wire
from fedlite.client.divergence import send_sound
from fedlite.client.job import METRIC, pack_held, pack_memories, unpack_memories, unpack_received
from fedlite.client.memory import storable
from fedlite.client.sending import Sent, decoded_stack
from fedlite.compression.overlap import weighted_sums
from fedlite.compression.plan import Plan
from fedlite.compression.structure.base import net_of
from fedlite.engine.task import Arrays, Result, Task
from fedlite.learning.models.spec import ModelSpec
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.training.place import Place, Table
from fedlite.learning.training.records import ClientJob, CohortResult, LocalConfig
from fedlite.learning.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.client.memory import JobMemory
    from fedlite.compression.structure.base import Structure

Array = NDArray[Any]


class ClientWorker:
    """Trains and evaluates clients of one run.

    Parameters
    ----------
    data : arrays
        `x`, `y` (training rows), `rows` and `starts` (client c owns `rows[starts[c]:starts[c + 1]]`); for evaluation
        likewise with the prefix `test_`.
    model : mapping
        Record of a `ModelSpec`.
    local : mapping
        Fields of `LocalConfig`.
    objective : str
        Name of the objective.
    mode : str
        Execution mode of the trainer.
    accelerator : mapping, optional
        Fields of the `Accelerator` that computes; the processor if not given.
    """

    def __init__(
        self,
        data: Arrays,
        model: Mapping[str, Any],
        local: Mapping[str, Any],
        objective: str,
        mode: str,
        accelerator: Mapping[str, str] | None = None,
    ) -> None:
        self._data = data
        self._place = Place.of(accelerator)
        self._tables: dict[str, Table] = {}
        self._spec = ModelSpec.from_record(model)
        self._local = LocalConfig(**local)
        self._objective = objective
        self._mode = mode
        self._trainers: dict[str, Trainer] = {}
        self._plans: dict[str, Plan] = {}

    @own_code.blamed()
    def run(self, task: Task, shared: Arrays) -> Result:
        """Run a "train" or an "evaluate" task."""
        plan = self._plan(task.meta["plan"])
        received = unpack_received(shared)
        trainer = self._trainer(plan.structure)
        if task.kind == "evaluate":
            return self._evaluate(task, trainer, received)
        memories = unpack_memories(task.arrays, len(task.arrays["clients"]))
        cohorts = self._train(task, plan, trainer, received, memories)
        return self._report(task, plan, cohorts, memories).result()

    def _plan(self, record: Mapping[str, Any]) -> Plan:
        text = json.dumps(record, sort_keys=True)
        if text not in self._plans:
            plan = self._plans[text] = Plan.from_record(record)
            # Packets may name stages of the user's own only where they were asked for before.
            for codec in (plan.up, plan.down):
                wire.parse_codec(codec)
        return self._plans[text]

    def _trainer(self, structure: Structure) -> Trainer:
        if structure.key not in self._trainers:
            net = net_of(structure, self._spec)
            self._trainers[structure.key] = Trainer(net, objective=self._objective, mode=self._mode, place=self._place)
        return self._trainers[structure.key]

    def _table(self, name: str) -> Table:
        """Return rows of data, which lie where they are computed on from their first use."""
        if name not in self._tables:
            self._tables[name] = Table(self._data[name], self._place)
        return self._tables[name]

    def _rows(self, client: int, prefix: str = "") -> NDArray[np.int64]:
        starts = self._data[f"{prefix}starts"]
        return np.asarray(self._data[f"{prefix}rows"][starts[client] : starts[client + 1]])

    def _train(
        self, task: Task, plan: Plan, trainer: Trainer, received: list[Array], memories: Sequence[JobMemory]
    ) -> list[CohortResult]:
        """Return one result for the whole chunk, or one per job where a part of the plan is each job's own."""
        config = replace(self._local, **task.meta["config"])
        pairs = zip(task.arrays["clients"].tolist(), task.arrays["seeds"].tolist(), strict=True)
        jobs = [
            ClientJob(self._rows(client), seed, memory) for (client, seed), memory in zip(pairs, memories, strict=True)
        ]
        own = any(constraint.individual for constraint in plan.constraints)
        groups = [[job] for job in jobs] if own else [jobs]
        return [
            trainer.train(
                received,
                group,
                self._table("x"),
                self._table("y"),
                config,
                constraints=plan.constraints,
                terms=[term for term in plan.terms if isinstance(term, Term)],
                round_=task.meta["round"],
            )
            for group in groups
        ]

    def _report(
        self, task: Task, plan: Plan, cohorts: Sequence[CohortResult], memories: Sequence[JobMemory]
    ) -> _Report:
        seeds = [int(seed) for seed in task.arrays["seeds"]]
        clients = task.arrays["clients"].tolist()
        sound: list[CohortResult] = []
        diverged: list[Array] = []
        sent, first = Sent(), 0
        for cohort in cohorts:
            part = slice(first, first + len(cohort.num_examples))
            kept, packets, lost = send_sound(
                cohort, plan, seeds[part], memories[part], task.meta["round"], clients[part]
            )
            sound.append(kept)
            diverged.append(lost)
            sent.extend(packets)
            first = part.stop
        return _Report(task, plan, sound, sent, np.concatenate(diverged))

    def _evaluate(self, task: Task, trainer: Trainer, received: Sequence[Array]) -> Result:
        clients = task.arrays["clients"].tolist()
        rows = [self._rows(client, "test_") for client in clients]
        chosen, owner = np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        x, y = self._table("test_x"), self._table("test_y")
        score = trainer.evaluate_many(list(received), x, y, owner, chosen)
        arrays: dict[str, Array] = {"num_examples": np.zeros(len(rows), np.int64)}
        arrays["num_examples"][score.client] = score.num_examples
        for name, values in score.metrics.items():
            arrays[METRIC + name] = np.full(len(rows), np.nan)
            arrays[METRIC + name][score.client] = values
        return Result({}, arrays)


class _Report:
    """Puts together what a chunk answers."""

    def __init__(
        self, task: Task, plan: Plan, cohorts: Sequence[CohortResult], sent: Sent, diverged: NDArray[np.bool_]
    ) -> None:
        self._task = task
        self._plan = plan
        self._cohorts = cohorts
        self._sent = sent
        self._diverged = diverged

    def result(self) -> Result:
        """Return the chunk's result: the weighted sum of what the server would decode, or every client's packet."""
        cohorts, sent = self._cohorts, self._sent
        arrays: dict[str, Array] = {
            "lengths": np.array([len(packet) for packet in sent.packets], dtype=np.int64),
            "extra_bytes": np.array(sent.extra_bytes, dtype=np.int64),
            **{name: np.concatenate([getattr(c, name) for c in cohorts]) for name in ("num_examples", "loss", "steps")},
            "diverged": self._diverged,
            **pack_held([cohort.held for cohort in cohorts]),
            **pack_memories(self._memories()),
        }
        # A stage may tell of some jobs only; what it does not tell of all, a reply cannot.
        first, *others = sent.metrics or [{}]
        for name in [name for name in first if all(name in told for told in others)]:
            arrays[METRIC + name] = np.array([metrics[name] for metrics in sent.metrics], dtype=np.float64)
        if self._task.meta["sum"]:
            arrays |= self._summed(cohorts[0])
        if not self._task.meta["sum"] or self._task.meta.get("packets"):
            arrays["packets"] = np.frombuffer(b"".join(sent.packets), dtype=np.uint8)
        return Result({"mode": cohorts[0].mode}, arrays)

    def _memories(self) -> list[JobMemory]:
        """Return what stages and constraints remember of each job."""
        constraints = [memory for cohort in self._cohorts for memory in cohort.memories]
        return [storable({**kept, **stage}) for kept, stage in zip(constraints, self._sent.memories, strict=True)]

    def _summed(self, cohort: CohortResult) -> dict[str, Array]:
        codec, packets = wire.parse_codec(self._plan.up), self._sent.packets
        counts = cohort.num_examples
        weights = np.ones(len(counts)) if self._task.meta["equal_weights"] else counts.astype(np.float64)
        weights = np.where(self._diverged, 0.0, weights)
        sums: list[Array] | None = None
        for part in wire.blocks(len(packets), sum(array.nbytes for array in cohort.start)):
            sums = weighted_sums(decoded_stack(packets[part], codec, cohort.start), weights[part], sums)
        named = {f"sum/{i}": values for i, values in enumerate(sums or [])}
        return {**named, "weight": np.asarray(sum(weights.tolist()), dtype=np.float64)}
