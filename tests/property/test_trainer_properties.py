"""What must hold for any cohort: modes agree, order and company do not matter, every sample is used once an epoch."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.schedule import schedules
from fedlite.learning.training.tile import tile_of

SIZES = st.lists(st.integers(0, 25), min_size=1, max_size=7)
CONFIGS = st.builds(
    LocalConfig,
    epochs=st.integers(1, 3),
    batch_size=st.integers(1, 12),
    lr=st.sampled_from([0.0, 0.01, 0.1]),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    proximal_mu=st.sampled_from([0.0, 0.5]),
    max_steps=st.none() | st.integers(1, 9),
)

_DRAW = np.random.default_rng(8)
X = _DRAW.normal(size=(40, 5)).astype(np.float32)
Y = _DRAW.integers(0, 3, 40)


def _net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))


MODEL = _net()
ARRAYS = [tensor.detach().numpy().copy() for tensor in MODEL.state_dict().values()]


def _jobs(sizes):
    return [ClientJob(np.random.default_rng(k).choice(40, n, replace=False), seed=k) for k, n in enumerate(sizes)]


@settings(max_examples=40, deadline=None)
@given(SIZES, CONFIGS)
def test_modes_agree_for_any_cohort_and_setting(sizes, config):
    one, many = (
        Trainer(MODEL, mode=mode).train(ARRAYS, _jobs(sizes), X, Y, config) for mode in ("sequential", "batched")
    )
    for a, b in zip(one.arrays, many.arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.loss, many.loss, rtol=1e-4)
    assert one.steps.tolist() == many.steps.tolist()


@settings(max_examples=25, deadline=None)
@given(SIZES, st.randoms(use_true_random=False))
def test_the_order_of_jobs_only_orders_the_results(sizes, shuffler):
    jobs = _jobs(sizes)
    order = list(range(len(jobs)))
    shuffler.shuffle(order)
    trainer = Trainer(MODEL, mode="batched")
    config = LocalConfig(epochs=2, batch_size=6, lr=0.1)
    straight = trainer.train(ARRAYS, jobs, X, Y, config)
    shuffled = trainer.train(ARRAYS, [jobs[k] for k in order], X, Y, config)
    for a, b in zip(straight.arrays, shuffled.arrays, strict=True):
        np.testing.assert_allclose(a[order], b, rtol=1e-5, atol=1e-6)
    assert straight.num_examples[order].tolist() == shuffled.num_examples.tolist()


@settings(max_examples=60, deadline=None)
@given(SIZES, CONFIGS)
def test_a_tile_holds_every_sample_of_every_step_once(sizes, config):
    plans = sorted(schedules(_jobs(sizes), config), key=lambda plan: -plan.steps)
    tile = tile_of(plans)
    assert sorted(plan.steps for plan in plans) == sorted(config.steps(size) for size in sizes)
    for k, plan in enumerate(plans):
        for step in range(plan.steps):
            held = tile.weights[step, k] > 0
            rows = plan.rows[plan.bounds[step] : plan.bounds[step + 1]]
            assert tile.rows[step, k][held].tolist() == rows.tolist()
            np.testing.assert_allclose(tile.weights[step, k].sum(), 1.0, rtol=1e-5)
            assert k < tile.active[step]
            assert len(rows) <= tile.width[step]
        assert not tile.weights[plan.steps :, k].any()
        if plan.steps:
            np.testing.assert_allclose(tile.reported[:, k].sum(), 1.0, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 15), st.integers(-(2**63), 2**64 - 1))
def test_every_epoch_is_a_permutation_of_the_clients_samples(size, epochs, batch, seed):
    job = ClientJob(np.arange(100, 100 + size), seed)
    (plan,) = schedules([job], LocalConfig(epochs=epochs, batch_size=batch))
    assert plan.rows.shape == (epochs * size,)
    for epoch in plan.rows.reshape(epochs, size):
        assert sorted(epoch) == list(range(100, 100 + size))
    assert np.diff(plan.bounds).max() <= batch
    assert plan.bounds[plan.last_epoch] == (epochs - 1) * size
