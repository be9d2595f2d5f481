"""What the seams offer to techniques that no part of the package uses yet: each by a small part of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from fedlite import runner
from fedlite.client.sending import send
from fedlite.client.stages.base import Applied, Stage
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import Effects, PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.full import Full
from fedlite.compression.structure.width import Width
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.pricing import Job, price
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile

SPEC = spec_of("mlp", (6,), 3, 1, hidden=(8,))
X = np.random.default_rng(1).normal(size=(24, 6)).astype(np.float32)
Y = np.random.default_rng(2).integers(3, size=24)
JOBS = [ClientJob(np.arange(12), 5), ClientJob(np.arange(12, 24), 6)]


@dataclass(frozen=True)
class LabelFlip(Constraint):
    """A client that learns the wrong thing on purpose."""

    name: ClassVar[str] = "label-flip"

    def rows(self, inputs, labels, state):
        """Return the rows with every label moved on by one."""
        return inputs, (labels + 1) % 3


def test_rows_are_changed_before_training_and_only_then():
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    config = LocalConfig(batch_size=4, lr=0.1)
    flipped = Trainer(net).train(arrays, JOBS, X, Y, config, constraints=(LabelFlip(),))
    wrong = Trainer(net, mode="sequential").train(arrays, JOBS, X, (Y + 1) % 3, config)
    honest = Trainer(net, mode="sequential").train(arrays, JOBS, X, Y, config)
    assert flipped.mode == "sequential"
    for ours, theirs, other in zip(flipped.arrays, wrong.arrays, honest.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(ours, other)
    with pytest.raises(FedliteError, match="batched for a plan with label-flip"):
        Trainer(net, mode="batched").train(arrays, JOBS, X, Y, config, constraints=(LabelFlip(),))


SEEN = []


@dataclass(frozen=True)
class Watcher(Constraint):
    """Writes down what it is told before training."""

    name: ClassVar[str] = "watcher"

    def init(self, received):
        """Keep the round and a number drawn."""
        SEEN.append((received.round_, float(received.rng.random())))


def test_a_constraint_is_told_the_round_and_draws_other_numbers_in_every_job():
    SEEN.clear()
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    config = LocalConfig(batch_size=4, lr=0.1)
    for round_, jobs in ((7, JOBS), (8, JOBS[1:]), (9, JOBS)):
        Trainer(net).train(arrays, jobs, X, Y, config, constraints=(Watcher(),), round_=round_)
    rounds, (first, other, again) = zip(*SEEN, strict=True)
    assert rounds == (7, 8, 9)
    assert first == again != other


@dataclass(frozen=True)
class TwoColumns(Term):
    """A term that forgot to add up its columns."""

    name: ClassVar[str] = "two-columns"

    def losses(self, batch):
        """Return (N, 3) instead of (N,)."""
        return batch.outputs


def test_a_term_gives_one_loss_for_each_sample():
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    trainer, config = Trainer(net, mode="sequential"), LocalConfig(batch_size=4, lr=0.1)
    with pytest.raises(PartError, match=r"'two-columns': got losses of shape \(4, 3\), expected one per sample \(4,\)"):
        trainer.train(arrays, JOBS, X, Y, config, terms=(TwoColumns(),))


@dataclass(frozen=True)
class Unit(Constraint):
    """Every tensor has norm 1: a rule over a whole tensor, which must not mix clients that run side by side."""

    name: ClassVar[str] = "unit"

    def after(self, parameters, state, *, stacked):
        """Divide each client's tensor by its own norm."""
        for parameter in parameters:
            axes = tuple(range(int(stacked), parameter.ndim))
            parameter.div_(torch.linalg.vector_norm(parameter, dim=axes, keepdim=True).clamp_min(1e-12))


def test_after_knows_whether_clients_are_stacked():
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    config = LocalConfig(batch_size=4, lr=0.1)
    together = Trainer(net, mode="batched").train(arrays, JOBS, X, Y, config, constraints=(Unit(),))
    alone = Trainer(net, mode="sequential").train(arrays, JOBS, X, Y, config, constraints=(Unit(),))
    assert together.mode == "batched"
    for ours, theirs in zip(together.arrays, alone.arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_allclose([np.linalg.norm(one) for one in ours], 1.0, rtol=1e-5)


@dataclass(frozen=True)
class Shares(Stage):
    """Sends seven bytes per round of its own and looks at its job."""

    name: ClassVar[str] = "shares"
    adds_bytes: ClassVar[bool] = True

    def apply(self, update, job):
        """Return the update as it is, with the bytes."""
        assert [np.shape(part) for part in update] == [np.shape(part) for part in job.start]
        return Applied(update, metrics={"owned": float(job.examples)}, extra=b"x" * 7 * job.round_)


def test_a_stage_sees_its_job_and_its_bytes_count():
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    cohort = Trainer(net).train(arrays, JOBS, X, Y, LocalConfig(batch_size=4, lr=0.1))
    sent = send(cohort, Plan(stages=(Shares(),)), [1, 2], [{}, {}], round_=3)
    plain = send(cohort, Plan(), [1, 2], [{}, {}])
    assert sent.extra_bytes == [21, 21]
    assert plain.extra_bytes == [0, 0]
    assert sent.metrics == [{"owned": 12.0}, {"owned": 12.0}]


@dataclass(frozen=True)
class Draws(Stage):
    """Tells which number it draws."""

    name: ClassVar[str] = "draws"
    place: int = 0

    def apply(self, update, job):
        """Return the update as it is."""
        return Applied(update, metrics={f"drawn {self.place}": float(job.rng.random())})


def test_two_stages_of_one_name_draw_different_numbers():
    net = SPEC.build()
    arrays = [value.numpy() for value in net.state_dict().values()]
    cohort = Trainer(net).train(arrays, JOBS, X, Y, LocalConfig(batch_size=4, lr=0.1))
    sent = send(cohort, Plan(stages=(Draws(1), Draws(2))), [1, 2], [{}, {}])
    assert len({value for metrics in sent.metrics for value in metrics.values()}) == 4


SCENARIO = """
name: seams
seed: 3
fleet: {devices: 4, mix: {pi-4b: 1}}
task: {data: digits, model: {name: mlp, options: {hidden: [4]}}}
training: {rounds: 2, clients_per_round: 4, local: {batch_size: 64}}
clients: [{for: any, plan: {stages: ['seam_shares:Shares']}}]
"""
SOURCE = """
from dataclasses import dataclass
from fedlite.client.stages.base import Applied, Stage


@dataclass(frozen=True)
class Shares(Stage):
    name = "shares"
    adds_bytes = True

    def apply(self, update, job):
        return Applied(update, extra=b"x" * 7 * job.round_)
"""


def test_extra_bytes_are_charged_round_by_round(tmp_path, monkeypatch):
    (tmp_path / "seam_shares.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def uploads(name, text):
        rows = runner.run(parse_scenario(text), out=tmp_path / name, settings=runner.Settings("local")).clients
        return np.array(rows.sort("round", "device")["up_bytes"].to_list())

    plain = uploads("plain", SCENARIO.replace("stages: ['seam_shares:Shares']", "width: 1.0"))
    assert (uploads("own", SCENARIO) - plain).tolist() == [7] * 4 + [14] * 4


@dataclass(frozen=True)
class Moving(Full):
    """A structure whose coordinates mean something else every round."""

    name: ClassVar[str] = "moving"
    moves: ClassVar[bool] = True


def test_what_a_device_remembers_is_refused_where_coordinates_move():
    with pytest.raises(PartError, match="got 'error-feedback', which a device remembers, on the structure 'moving'"):
        Plan(structure=Moving(), stages=(ErrorFeedback(),))
    assert Plan(structure=Full(), stages=(ErrorFeedback(),)).stages


def test_a_structure_says_whether_it_covers_the_full_model():
    assert Full().covers
    assert not Width(0.5).covers


@dataclass(frozen=True)
class Hungry(Constraint):
    """Holds a gradient per sample."""

    name: ClassVar[str] = "hungry"

    @property
    def effects(self):
        """One more copy of the weights for every sample of a batch."""
        return Effects(weight_copies_per_sample=1.0)


def test_copies_for_each_sample_are_priced_with_the_batch():
    profile, workload = load_profile("pi-4b"), trace(SPEC.build(), (6,), name="toy")
    job = Job(samples=20.0, steps=5.0, batch=4)
    plain, hungry = (price(profile, plan, workload, job).peak.value for plan in (Plan(), Plan(constraints=(Hungry(),))))
    assert hungry - plain == pytest.approx(4 * 4 * workload.params)
    larger = price(profile, Plan(constraints=(Hungry(),)), workload, replace(job, batch=8)).peak.value
    assert larger - hungry > 4 * 4 * workload.params
