"""One battery that every constraint passes: those that ship, those of the documentation, and any of a user's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from own import examples
from strangers import Box, ClipSamples, Counting, Damped
from ternary import Ternary
from torch import nn

from fedlite.compression.constraint import CONSTRAINTS
from fedlite.compression.constraint.base import Constraint, Received
from fedlite.compression.constraint.binary import Binary
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.constraint.mixed_bits import MixedBits
from fedlite.compression.constraint.multilevel import Multilevel
from fedlite.compression.constraint.progressive import Progressive
from fedlite.compression.constraint.regrow import Regrow
from fedlite.compression.constraint.shared import Shared
from fedlite.compression.part import from_record, made
from fedlite.errors import FedliteError
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream

EXAMPLES = {
    "magnitude": [Magnitude(0.6), Magnitude(0.9, "local")],
    "fake-quant": [FakeQuant(8), FakeQuant(4)],
    "multilevel": [Multilevel(), Multilevel(0.0, 0.5, 0.0, 0.0)],
    "progressive": [Progressive(0.7, 2, initial=0.3), Progressive(0.6, 1, first=0, initial=0.5, scope="local")],
    "regrow": [Regrow(0.6, every=1), Regrow(0.6, every=1, mask="own", density="uniform"), Regrow(0.5, every=2)],
    "binary": [Binary(ends=True)],
    "mixed-bits": [MixedBits((("0.*", 4),)), MixedBits((("2.*", 32),), others=5)],
    "shared": [Shared(4), Shared(16)],
    "strangers:Box": [Box(0.3)],
    "strangers:Damped": [Damped(0.4)],
    "strangers:Counting": [Counting(0.05)],
    "strangers:ClipSamples": [ClipSamples(0.1)],
    "ternary:Ternary": [Ternary(0.7)],
    **examples(Constraint),
}
"""Name in a scenario -> some settings of it."""
ALL = [part for parts in EXAMPLES.values() for part in parts]
TOGETHER = [part for part in ALL if not (part.individual or part.per_sample)]
"""Those whose clients may run side by side."""
STEADY = [part for part in TOGETHER if type(part) in (Magnitude, FakeQuant, Box, Damped)]
"""Those whose settings here put no weight so near to a threshold that the last bit of a kernel decides."""
CONFIGS = {
    "momentum": LocalConfig(epochs=2, batch_size=8, lr=0.05, momentum=0.9),
    "adam": LocalConfig(epochs=2, batch_size=8, lr=0.01, optimizer="adam"),
    "weight decay": LocalConfig(epochs=2, batch_size=8, lr=0.05, weight_decay=0.1),
}
SIZES = (20, 9, 16)

each_part = pytest.mark.parametrize("part", ALL, ids=lambda part: part.label)
each_together = pytest.mark.parametrize("part", TOGETHER, ids=lambda part: part.label)


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def received(memory=None, seed=0):
    model = net()
    arrays = [parameter.detach().numpy() for parameter in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    return Received(arrays, names, 1, memory or {}, stream(seed, "own"))


def problem():
    model, draw = net(), np.random.default_rng(4)
    arrays = [tensor.detach().numpy().copy() for tensor in model.state_dict().values()]
    x, y = draw.normal(size=(50, 6)).astype(np.float32), draw.integers(0, 3, 50)
    jobs = [ClientJob(draw.choice(50, n, replace=False), seed=k) for k, n in enumerate(SIZES)]
    return model, arrays, jobs, x, y


def train(constraints, *, mode="sequential", config=CONFIGS["momentum"], memory=None, seed=None, jobs=None):
    """Train the jobs, one at a time where a constraint is each job's own; return one result per call of the trainer."""
    model, arrays, all_jobs, x, y = problem()
    jobs = all_jobs[: 1 if seed is not None else None] if jobs is None else jobs
    if seed is not None:
        jobs = [ClientJob(job.indices, seed, memory or {}) for job in jobs]
    trainer = Trainer(model, mode=mode)
    groups = [[job] for job in jobs] if any(part.individual for part in constraints) else [jobs]
    return [trainer.train(arrays, group, x, y, config, constraints=constraints, round_=1) for group in groups]


def bits(results):
    return b"".join(array.tobytes() for result in results for array in result.arrays)


def stack_of(count):
    rng = stream(1, "stack")
    arrays = received().parameters
    return [torch.from_numpy(rng.normal(size=(count, *array.shape)).astype(np.float32)) for array in arrays]


def test_every_constraint_has_an_example_that_a_scenario_can_name():
    assert {name for name in EXAMPLES if ":" not in name} == set(CONSTRAINTS)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, CONSTRAINTS, Constraint) == part


@each_part
def test_every_hook_keeps_shapes_and_types(part):
    state, like = part.init(received()), [torch.from_numpy(array) for array in received().parameters]
    forms = [(tensor.shape, tensor.dtype) for tensor in like]
    samples = [tensor.repeat(4, *[1] * tensor.dim()) for tensor in like] if part.per_sample else like
    seen, gradients = part.seen(like, state, stacked=False), part.gradients(samples, state, stacked=False)
    changed = [tensor.clone() for tensor in like]
    part.after(changed, state, stacked=False)
    for found in (seen, gradients, changed):
        assert [(tensor.shape, tensor.dtype) for tensor in found] == forms
    for mask, (shape, _) in zip(part.held(state) or [], forms, strict=False):
        assert mask is None or (mask.shape == tuple(shape) and set(np.unique(mask)) <= {0, 1})


@each_part
def test_what_came_down_is_not_changed(part):
    arrived = received()
    before = [array.copy() for array in arrived.parameters]
    part.init(arrived)
    assert all(np.array_equal(a, b) for a, b in zip(arrived.parameters, before, strict=True))


@each_together
def test_a_stack_of_clients_is_each_client_alone(part):
    state, stack = part.init(received()), stack_of(3)
    together = [
        part.seen([tensor.clone() for tensor in stack], state, stacked=True),
        part.gradients([tensor.clone() for tensor in stack], state, stacked=True),
        [tensor.clone() for tensor in stack],
    ]
    part.after(together[2], state, stacked=True)
    for k in range(3):
        own = [tensor[k].clone() for tensor in stack]
        changed = [tensor.clone() for tensor in own]
        part.after(changed, state, stacked=False)
        alone = [part.seen(own, state, stacked=False), part.gradients(own, state, stacked=False), changed]
        for many, one in zip(together, alone, strict=True):
            assert all(torch.equal(a[k], b) for a, b in zip(many, one, strict=True))


@pytest.mark.parametrize("rule", CONFIGS)
@pytest.mark.parametrize("mode", ["sequential", "batched"])
@each_together
def test_weights_that_are_not_held_are_zero_after_training(part, mode, rule):
    (result,) = train([part], mode=mode, config=CONFIGS[rule])
    assert result.mode == mode
    for array, start, mask in zip(result.arrays, result.start, result.held or [None] * 4, strict=True):
        if mask is not None:
            assert not array[:, mask == 0].any()
            assert not start[mask == 0].any()
            assert array[:, mask == 1].all()


@each_part
def test_what_a_client_alone_says_it_does_not_hold_is_zero(part):
    for result in train([part]):
        for array, start, mask in zip(result.arrays, result.start, result.held or [None] * 4, strict=True):
            if mask is not None:
                assert not array[:, mask == 0].any(), (
                    "held says that these weights stay at zero; after must put them there"
                )
                assert not start[mask == 0].any(), "training begins with them at zero"
                assert array[:, mask == 1].all(), "held says that these are not kept at zero"


@pytest.mark.parametrize("rule", CONFIGS)
@each_together
def test_both_modes_learn_the_same(part, rule):
    (one,), (many,) = (train([part], mode=mode, config=CONFIGS[rule]) for mode in ("sequential", "batched"))
    for a, b in zip(one.arrays, many.arrays, strict=True):
        apart = np.abs(a - b) / np.abs(a).max()
        assert (apart < 1e-4).mean() >= (1.0 if part in STEADY else 0.8)
        assert apart.max() < 0.1


@each_part
def test_training_with_the_constraint_is_deterministic_and_differs_from_plain_training(part):
    first, again, plain = train([part]), train([part]), train([])
    assert bits(first) == bits(again)
    assert bits(first) != bits(plain)


@pytest.mark.parametrize("part", [part for part in ALL if not part.individual], ids=lambda part: part.label)
def test_training_starts_where_the_constraint_holds(part):
    _, arrays, *_ = problem()
    weights = [torch.from_numpy(np.array(array)) for array in arrays]
    part.after(weights, part.init(received()), stacked=False)
    for start, wanted in zip(train([part])[0].start, weights, strict=True):
        np.testing.assert_array_equal(start, wanted.numpy())


@each_part
def test_effects_claim_no_speed_and_no_memory_that_is_not_there(part):
    effects = part.effects
    assert effects.step_time >= 1.0
    assert effects.weight_copies >= 0.0
    assert effects.update_passes >= 0.0
    assert effects.inference in {"fp32", "fp16", "int8"}


@each_part
def test_a_record_makes_the_part_again(part):
    assert from_record(json.loads(json.dumps(part.record)), Constraint) == part


@pytest.mark.parametrize("part", [part for part in ALL if part not in TOGETHER], ids=lambda part: part.label)
def test_clients_that_cannot_run_side_by_side_are_not_asked_to(part):
    with pytest.raises(FedliteError, match=rf"got batched for a plan with {part.name}, whose clients are trained one"):
        train([part], mode="batched", seed=1)
    assert train([part], mode="auto", seed=1)[0].mode == "sequential"


# --- a constraint that is each job's own -----------------------------------------------------------------------------


def test_an_individual_constraint_remembers_between_jobs():
    memory = {}
    for job in (1, 2, 3):
        (result,) = train([Counting()], memory=memory, seed=7)
        (memory,) = result.memories
        assert memory["counting"]["jobs"].tolist() == [job]


def test_an_individual_constraint_draws_from_the_job_and_no_other_remembers():
    # One step over all of a client's data: the order of its batches, which the seed decides as well, is no matter.
    config = LocalConfig(batch_size=100, lr=0.3)
    one, two, again = (train([Counting(1.0)], seed=seed, config=config) for seed in (7, 8, 7))
    assert bits(one) == bits(again)
    assert np.abs(one[0].arrays[0] - two[0].arrays[0]).max() > 0.1
    (plain,) = train([Magnitude(0.5)], seed=7, memory={"magnitude": {"jobs": np.ones(1)}})
    assert plain.memories == [{}]


# --- a gradient per sample -------------------------------------------------------------------------------------------


def by_hand(job, config, norm):
    """DP-SGD's clipping sample by sample with torch's own tools, one step over the whole of a client's data."""
    model, arrays, _, x, y = problem()
    model.load_state_dict({k: torch.from_numpy(a) for k, a in zip(model.state_dict(), arrays, strict=True)})
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for row in job.indices.tolist():
        loss = nn.functional.cross_entropy(model(torch.from_numpy(x[row : row + 1])), torch.tensor([int(y[row])]))
        found = torch.autograd.grad(loss, list(model.parameters()))
        length = torch.sqrt(sum((gradient**2).sum() for gradient in found))
        total = [part + gradient * min(1.0, norm / float(length)) for part, gradient in zip(total, found, strict=True)]
    return [p.detach() - config.lr * t / len(job.indices) for p, t in zip(model.parameters(), total, strict=True)]


@pytest.mark.parametrize("norm", [0.1, 0.9, 100.0])
def test_a_constraint_per_sample_is_a_plain_loop_over_samples(norm):
    _, _, jobs, _, _ = problem()
    config = LocalConfig(epochs=1, batch_size=100, lr=0.3)
    (result,) = train([ClipSamples(norm)], config=config, jobs=jobs)
    for k, job in enumerate(jobs):
        for array, wanted in zip(result.arrays, by_hand(job, config, norm), strict=True):
            np.testing.assert_allclose(array[k], wanted.numpy(), atol=2e-6)


def test_a_gradient_per_sample_goes_with_no_term():
    model, arrays, jobs, x, y = problem()
    with pytest.raises(FedliteError, match="needs a gradient per sample with terms"):
        Trainer(model).train(
            arrays, jobs, x, y, CONFIGS["momentum"], constraints=[ClipSamples()], terms=[Distillation()]
        )
