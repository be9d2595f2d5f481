"""A bench for techniques: a model trained on real data, a few rounds under a plan, the artefact that comes out of it.

Before and after are trained alike: the same rows, the same epochs, the same rounds. What is encoded is decoded, what is
shipped is executed, and what a device would take comes from its profile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from safetensors.numpy import save_file

from fedlite import wire
from fedlite.client.assignment import Standing
from fedlite.client.choosers.base import Asked, Choice, Ended, Setting
from fedlite.client.downlink import Downlink, Offer
from fedlite.client.sending import decoded_weights, send
from fedlite.compose.shipping import (
    CALIBRATION_ROWS,
    Shipped,
    Ware,
    artefact_of,
    filled,
    predicted,
    score_on_held,
    ship,
    state_of,
)
from fedlite.compose.spending import Done
from fedlite.compression.overlap import OverlapSum
from fedlite.compression.plan import Plan
from fedlite.compression.structure.base import net_of
from fedlite.compression.structure.width import check_share
from fedlite.delivery.base import Delivery
from fedlite.learning import objectives
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.objectives.cross_entropy import macro_f1
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import seed_of
from fedlite.techniques.technique import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.client.memory import JobMemory
    from fedlite.compose.bench_task import BenchTask, Effort
    from fedlite.compression.structure.base import Placement, Structure
    from fedlite.learning.models.layers.base import Layers
    from fedlite.techniques.technique import Lesson

    Array = NDArray[Any]
    Memories = dict[tuple[int, str], JobMemory]
    """What clients remember, each of the parts of every net that it trained, as devices do."""


@dataclass(frozen=True)
class Job:
    """What one client did in one round: under which plan, on how many rows, and the lengths of both packets."""

    plan: Plan
    rows: int
    up_bytes: int
    down_bytes: int
    raw_bytes: int = 0
    """Of the model, uncompressed."""
    loss: float = float("nan")


@dataclass(frozen=True)
class Trained:
    """A full model."""

    spec: ModelSpec
    arrays: Sequence[Array]


@dataclass(frozen=True)
class Outcome:
    """What a recipe came to.

    Attributes
    ----------
    spec : ModelSpec
    shipped : Shipped
    metrics : dict
        Of what a device reads from the file, on the test rows.
    held : dict
        The same on the rows by which searches may choose.
    jobs : tuple of Job
        Of the rounds under the recipe.
    """

    spec: ModelSpec
    shipped: Shipped
    metrics: dict[str, float]
    held: dict[str, float]
    jobs: tuple[Job, ...]

    @property
    def up_bytes(self) -> int:
        """Mean length of a client's upload, with what stages send beside it."""
        return round(float(np.mean([job.up_bytes for job in self.jobs])))

    @property
    def down_bytes(self) -> int:
        """Mean length of the packet that comes down."""
        return round(float(np.mean([job.down_bytes for job in self.jobs])))

    @property
    def trained(self) -> list[tuple[float, Plan, nn.Module]]:
        """The plans that jobs really followed, each with its share of the jobs and its net: traced for what they cost.

        More than one where the structure grows or is drawn.
        """
        counts = Counter(job.plan for job in self.jobs)
        return [(count / len(self.jobs), plan, net_of(plan.structure, self.spec)) for plan, count in counts.items()]


@dataclass(frozen=True)
class _Leg:
    """A model on its way down to the devices of one structure in one round."""

    placement: Placement
    offer: Offer
    trainer: Trainer


@dataclass
class _Clients:
    """What the clients of one run remember, and what the server knows that each of them holds."""

    memories: Memories
    downlink: Downlink
    chosen: list[list[str]] = field(default_factory=list)
    """The plan of each client, round by round, where it is chosen."""


def _ended(jobs: Sequence[Job], round_: int, arms: NDArray[np.int64]) -> Ended:
    """Return the jobs of a round as who chose their plans hears of them; shares are of one size."""
    n = len(jobs)
    sent, raw, loss = (np.array([getattr(job, name) for job in jobs], np.float64) for name in _HEARD)
    return Ended(round_, np.arange(n), arms, np.ones(n, dtype=bool), sent, raw, loss, np.ones(n, dtype=np.int64))


_HEARD: Final = ("up_bytes", "raw_bytes", "loss")


class Bench:
    """Trains one task under recipes.

    Parameters
    ----------
    model : str
    task : BenchTask
    effort : Effort
    up_bps : array, shape (clients,), optional
        Rates of the clients' uplinks, for those who choose plans by them; infinite if not given.

    Attributes
    ----------
    work : list of Done
        All that was trained and looked at so far, in order; nothing is done twice that is kept.
    """

    def __init__(self, model: str, task: BenchTask, effort: Effort, up_bps: NDArray[np.float64] | None = None) -> None:
        self._model = model
        self._task = task
        self._effort = effort
        n = len(task.shares)
        self._standing = Standing(np.ones(n), np.full(n, np.inf) if up_bps is None else up_bps, np.full(n, np.inf))
        self._trained: dict[tuple[ModelSpec, Lesson | None], list[Array]] = {}
        self._folder = TemporaryDirectory(prefix="fedlite-bench-")
        self.work: list[Done] = []
        self._config = LocalConfig(epochs=1, batch_size=effort.batch, lr=effort.lr, optimizer="adam")

    def spec(self, recipe: Recipe) -> ModelSpec:
        """Return how the full net of a recipe is built."""
        data = self._task.data
        name = recipe.model or self._model
        shape, classes, options = data.input_shape, data.num_classes, dict(recipe.options)
        if recipe.width < 1:
            check_share("width", spec_of(name, shape, classes, self._effort.seed, **options), recipe.width)
        spec = spec_of(name, shape, classes, self._effort.seed, recipe.width, **options)
        if recipe.layers is None:
            return spec
        return replace(spec, layers=self._on_trained(recipe.layers, spec) if recipe.on_trained else recipe.layers)

    def _on_trained(self, layers: Layers, spec: ModelSpec) -> Layers:
        """Return layers that stand on the trained net, which they read from a file as they would in a run."""
        path = Path(self._folder.name) / f"{spec.name}.safetensors"
        if not path.exists():
            save_file(dict(zip(spec.build().state_dict(), self._start(spec), strict=True)), path)
        based: Layers = replace(layers, file=str(path))  # type: ignore[call-arg]  # those that can stand on a file
        return based

    def run(self, recipes: Sequence[Recipe]) -> Outcome:
        """Return what comes of training under recipes one after the other, each with what those before it asked for.

        The rounds are dealt among the recipes; the last one's plan is what counts in the end.
        """
        with single_thread():
            spec = self.spec(recipes[-1])
            last = recipes[-1]
            # What stands on a trained net begins as that net.
            arrays = state_of(spec.build()) if last.on_trained else self._start(spec, last.lesson)
            shares = np.array_split(np.arange(self._effort.rounds), len(recipes))
            clients = _Clients({}, Downlink())
            earlier, jobs = arrays, list[Job]()
            for recipe, rounds in zip(recipes, shares, strict=True):
                jobs = [] if rounds.size else jobs
                choice = self._choice(recipe)
                for round_ in (rounds + 1).tolist():
                    earlier = arrays
                    arms, plans = self._plans(recipe, choice, round_, clients)
                    arrays, done = self._round(spec, plans, arrays, clients, round_)
                    jobs += done
                    if choice is not None:
                        choice.note(_ended(done, round_, arms))
            outcome = self._shipped(spec, recipes[-1].plan, arrays, earlier, jobs)
            if not clients.chosen:
                return outcome
            artefact = outcome.shipped.artefact.telling(chosen=clients.chosen)
            return replace(outcome, shipped=replace(outcome.shipped, artefact=artefact))

    def train(self, recipe: Recipe, rounds: int = 0) -> Trained:
        """Return a model trained under one recipe as `run` does it, or by so many rounds from its first weights on."""
        with single_thread():
            spec, effort = self.spec(recipe), self._effort
            arrays = state_of(spec.build()) if rounds else self._start(spec)
            clients = _Clients({}, Downlink())
            for round_ in range(1, 1 + (rounds or effort.rounds)):
                arrays, _ = self._round(spec, [recipe.plan] * len(self._task.shares), arrays, clients, round_)
            return Trained(spec, arrays)

    @property
    def held(self) -> NDArray[np.int64]:
        """Rows that nobody trains on, for searches."""
        return self._task.held

    def score(self, trained: Trained, structure: Structure) -> dict[str, float]:
        """Return the metrics on held-out rows of the net that a structure cuts out of a model."""
        data, net = self._task.data, net_of(structure, trained.spec)
        part = structure.place(trained.spec, trained.arrays).take()
        self.work.append(Done(trained.spec, Plan(structure=structure), len(self.held)))
        with single_thread():
            return dict(
                self._trainer(net, trained.spec)
                .evaluate(part, data.x_train[self.held], data.y_train[self.held])
                .metrics
            )

    def _choice(self, recipe: Recipe) -> Choice | None:
        if recipe.among is None:
            return None
        return recipe.among.chooser.begin(Setting(len(recipe.among.plans), self._effort.rounds, self._effort.seed))

    def _plans(
        self, recipe: Recipe, choice: Choice | None, round_: int, clients: _Clients
    ) -> tuple[NDArray[np.int64], list[Plan]]:
        """Return for each client the place of its plan, and the plan."""
        devices = np.arange(len(self._task.shares))
        if choice is None or recipe.among is None:
            return np.zeros_like(devices), [recipe.plan] * len(devices)
        arms = choice.pick(Asked(round_, trains=True, devices=devices, standing=self._standing))
        plans = [recipe.among.plans[arm] for arm in arms.tolist()]
        clients.chosen.append([plan.name for plan in plans])
        return arms, plans

    def _start(self, spec: ModelSpec, lesson: Lesson | None = None) -> list[Array]:
        """Return the full model, trained on all rows; once for each net and lesson."""
        if (spec, lesson) not in self._trained:
            net = spec.build()
            job = ClientJob(self._task.train, seed_of(self._effort.seed, "bench start"))
            config = LocalConfig(
                epochs=self._effort.epochs, batch_size=self._effort.batch, lr=self._effort.lr, optimizer="adam"
            )
            data = self._task.data
            result = self._trainer(net, spec).train(
                state_of(net), [job], data.x_train, data.y_train, config,
                terms=lesson.terms if lesson else (), teacher=self._teacher(lesson) if lesson else None,
            )  # fmt: skip
            self._trained[spec, lesson] = [stacked[0] for stacked in result.arrays]
            self._note_start(spec, lesson)
        return self._trained[spec, lesson]

    def _note_start(self, spec: ModelSpec, lesson: Lesson | None) -> None:
        """Note the passes of a net over all rows, and those of its teacher."""
        samples, steps = self._effort.epochs * len(self._task.train), self._steps(len(self._task.train))
        self.work.append(Done(spec, Plan(), samples, self._effort.epochs * steps, at_server=True))
        if lesson is not None:
            self.work.append(Done(self.spec(Recipe(model=lesson.teacher or None)), Plan(), samples, at_server=True))

    def _steps(self, rows: int) -> int:
        """Return the optimiser steps of an epoch."""
        return -(-rows // self._effort.batch)

    def _teacher(self, lesson: Lesson) -> nn.Module:
        """Return the net that teaches, trained as the one before any technique is."""
        spec = self.spec(Recipe(model=lesson.teacher or None))
        return filled(spec.build(), self._start(spec))

    def _round(
        self, spec: ModelSpec, plans: Sequence[Plan], arrays: list[Array], clients: _Clients, round_: int
    ) -> tuple[list[Array], list[Job]]:
        """Return the model after one round of all clients, and what each of them did."""
        seed = seed_of(self._effort.seed, "bench round", round_)
        total = OverlapSum([array.shape for array in arrays])
        legs: dict[Plan, _Leg] = {}
        jobs = []
        for client, (plan, rows) in enumerate(zip(plans, self._task.shares, strict=True)):
            own = plan.at(round_, client)
            if own not in legs:
                legs[own] = self._leg(spec, own, arrays, seed)
            leg = legs[own]
            place = client, own.structure.key
            memory = clients.memories.get(place, {})
            download = leg.offer.to(clients.downlink.base(client, own))
            clients.downlink.hold(client, download)
            job = ClientJob(rows, seed_of(seed, "client", client), memory)
            cohort = leg.trainer.train(
                download.received, [job], self._task.data.x_train, self._task.data.y_train, self._config,
                constraints=own.constraints, terms=[term for term in own.terms if isinstance(term, Term)],
                round_=round_,
            )  # fmt: skip
            sent = send(cohort, own, [job.seed], [memory], round_)
            weight = float(len(rows))
            learned = decoded_weights(sent.packets[0], wire.parse_codec(own.up), cohort.start)
            leg.placement.add(total, [weight * one.astype(np.float64) for one in learned], weight, cohort.held)
            clients.memories[place] = {**memory, **cohort.memories[0], **sent.memories[0]}
            up_bytes, raw_bytes = (
                len(sent.packets[0]) + sent.extra_bytes[0],
                sum(one.nbytes for one in download.received),
            )
            self.work.append(Done(spec, own, len(rows), self._steps(len(rows))))
            jobs.append(
                Job(own, len(rows), up_bytes, len(download.packet), raw_bytes=raw_bytes, loss=float(cohort.loss[0]))
            )
        return total.finish(arrays), jobs

    def _leg(self, spec: ModelSpec, plan: Plan, arrays: list[Array], seed: int) -> _Leg:
        placement = plan.structure.place(spec, arrays)
        offer = Offer(placement.take(), plan, seed, ("down",))
        return _Leg(placement, offer, self._trainer(net_of(plan.structure, spec), spec))

    def _shipped(
        self, spec: ModelSpec, plan: Plan, arrays: list[Array], earlier: list[Array], jobs: list[Job]
    ) -> Outcome:
        """Return what is shipped; a delivery that begins with what was shipped before gets that of a round earlier."""
        ware, before = self._ware(spec, arrays), None
        if any(one.begins_with_previous for one in plan.deliveries if isinstance(one, Delivery)):
            before = artefact_of(self._ware(spec, earlier), plan)
        shipped = ship(ware, plan, before)
        if looked := shipped.artefact.forward_samples:
            self.work.append(Done(spec, Plan(structure=plan.structure), looked))
        metrics = dict(shipped.score.metrics)
        if "accuracy" in metrics and "macro_f1" not in metrics:
            metrics["macro_f1"] = macro_f1(predicted(shipped, ware), self._task.data.y_test)
        return Outcome(spec, shipped, metrics, dict(score_on_held(shipped, ware).metrics), tuple(jobs))

    def _ware(self, spec: ModelSpec, arrays: list[Array]) -> Ware:
        task = self._task
        calibration = task.shares[0][:CALIBRATION_ROWS]
        effort, objective = self._effort, self.objective_of(spec)
        return Ware(spec, arrays, task.data, calibration, task.held, effort.seed, objective, effort.rounds)

    def _trainer(self, net: nn.Module, spec: ModelSpec) -> Trainer:
        return Trainer(net, objective=objectives.objective(self.objective_of(spec)), mode="sequential")

    def objective_of(self, spec: ModelSpec) -> str:
        """Return what is learned: the data's own task, by every exit where the net gives them all."""
        return "exits" if dict(spec.params).get("outputs") == "all" else self._task.data.objective
