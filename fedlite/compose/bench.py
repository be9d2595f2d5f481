"""A bench for techniques: a model trained on real data, a few rounds under a plan, the artefact that comes out of it.

Before and after are trained alike: the same rows, the same epochs, the same rounds. What is encoded is decoded, what is
shipped is executed, and what a device would take comes from its profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from fedlite import wire
from fedlite.client.sending import decoded_weights, send
from fedlite.compose.shipping import CALIBRATION_ROWS, Shipped, Ware, filled, predicted, ship, state_of
from fedlite.compression.overlap import OverlapSum
from fedlite.compression.structure.base import net_of
from fedlite.learning import objectives
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.objectives.cross_entropy import macro_f1
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import seed_of, stream
from fedlite.techniques.technique import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.client.memory import JobMemory
    from fedlite.compose.bench_task import BenchTask, Effort
    from fedlite.compression.plan import Plan
    from fedlite.learning.models.layers.base import Layers
    from fedlite.techniques.technique import Lesson

    Array = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """What a recipe came to.

    Attributes
    ----------
    spec : ModelSpec
    shipped : Shipped
    metrics : dict
        Of what a device reads from the file, on the test rows.
    structure_net : nn.Module
        What a device trains: it is traced for the price of a step.
    up_bytes, down_bytes : int
        Mean length of a client's upload in the last round, and of the packet that came down.
    """

    spec: ModelSpec
    shipped: Shipped
    metrics: dict[str, float]
    structure_net: nn.Module
    up_bytes: int
    down_bytes: int


class Bench:
    """Trains one task under recipes.

    Parameters
    ----------
    model : str
    task : BenchTask
    effort : Effort
    """

    def __init__(self, model: str, task: BenchTask, effort: Effort) -> None:
        self._model = model
        self._task = task
        self._effort = effort
        self._trained: dict[tuple[ModelSpec, Lesson | None], list[Array]] = {}
        self._folder = TemporaryDirectory(prefix="fedlite-bench-")
        self._config = LocalConfig(epochs=1, batch_size=effort.batch, lr=effort.lr, optimizer="adam")

    def spec(self, recipe: Recipe) -> ModelSpec:
        """Return how the full net of a recipe is built."""
        data = self._task.data
        name = recipe.model or self._model
        spec = spec_of(name, data.input_shape, data.num_classes, self._effort.seed, recipe.width)
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
            memories: list[JobMemory] = [{} for _ in self._task.shares]
            sent = (0, 0)
            for recipe, rounds in zip(recipes, shares, strict=True):
                for round_ in rounds.tolist():
                    arrays, sent = self._round(spec, recipe.plan, arrays, memories, round_ + 1)
            return self._shipped(spec, recipes[-1].plan, arrays, sent)

    def _start(self, spec: ModelSpec, lesson: Lesson | None = None) -> list[Array]:
        """Return the full model, trained on all rows; once for each net and lesson."""
        if (spec, lesson) not in self._trained:
            net = spec.build()
            job = ClientJob(self._task.train, seed_of(self._effort.seed, "bench start"))
            config = LocalConfig(
                epochs=self._effort.epochs, batch_size=self._effort.batch, lr=self._effort.lr, optimizer="adam"
            )
            data = self._task.data
            result = self._trainer(net).train(
                state_of(net), [job], data.x_train, data.y_train, config,
                terms=lesson.terms if lesson else (), teacher=self._teacher(lesson) if lesson else None,
            )  # fmt: skip
            self._trained[spec, lesson] = [stacked[0] for stacked in result.arrays]
        return self._trained[spec, lesson]

    def _teacher(self, lesson: Lesson) -> nn.Module:
        """Return the net that teaches, trained as the one before any technique is."""
        spec = self.spec(Recipe(model=lesson.teacher or None))
        return filled(spec.build(), self._start(spec))

    def _round(
        self, spec: ModelSpec, plan: Plan, arrays: list[Array], memories: list[JobMemory], round_: int
    ) -> tuple[list[Array], tuple[int, int]]:
        """Return the model after one round of all clients, and the bytes up (mean) and down."""
        placement = plan.structure.place(spec, arrays)
        seed = seed_of(self._effort.seed, "bench round", round_)
        down, up = wire.parse_codec(plan.down), wire.parse_codec(plan.up)
        packet = wire.encode(placement.take(), down, stream(seed, "down") if down.stochastic else None)
        received = wire.decode(packet, like=placement.take())
        trainer = self._trainer(net_of(plan.structure, spec))
        total = OverlapSum([array.shape for array in arrays])
        lengths = []
        for client, rows in enumerate(self._task.shares):
            job = ClientJob(rows, seed_of(seed, "client", client), memories[client])
            cohort = trainer.train(
                received, [job], self._task.data.x_train, self._task.data.y_train, self._config,
                constraints=plan.constraints, terms=[term for term in plan.terms if isinstance(term, Term)],
                round_=round_,
            )  # fmt: skip
            sent = send(cohort, plan, [job.seed], [memories[client]], round_)
            weight = float(len(rows))
            learned = decoded_weights(sent.packets[0], up, cohort.start)
            placement.add(total, [weight * one.astype(np.float64) for one in learned], weight, cohort.held)
            memories[client] = {**memories[client], **cohort.memories[0], **sent.memories[0]}
            lengths.append(len(sent.packets[0]) + sent.extra_bytes[0])
        return total.finish(arrays), (round(float(np.mean(lengths))), len(packet))

    def _shipped(self, spec: ModelSpec, plan: Plan, arrays: list[Array], sent: tuple[int, int]) -> Outcome:
        task, seed = self._task, self._effort.seed
        calibration = task.shares[0][:CALIBRATION_ROWS]
        ware = Ware(spec, arrays, task.data, calibration, task.held, seed, task.data.objective)
        shipped = ship(ware, plan)
        metrics = dict(shipped.score.metrics)
        if "accuracy" in metrics and "macro_f1" not in metrics:
            metrics["macro_f1"] = macro_f1(predicted(shipped, ware), task.data.y_test)
        return Outcome(spec, shipped, metrics, net_of(plan.structure, spec), *sent)

    def _trainer(self, net: nn.Module) -> Trainer:
        return Trainer(net, objective=objectives.objective(self._task.data.objective), mode="sequential")
