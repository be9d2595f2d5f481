"""Dynamic sparse training: the smallest weights go, those with the largest gradients come, and as many stay."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.regrow import Regrow, exchanged, held_counts, layer_densities
from fedlite.compression.overlap import OverlapSum
from fedlite.compression.part import PartError
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream

CONFIG = LocalConfig(epochs=2, batch_size=8, lr=0.1)
COUNT = {"0.weight": 24, "2.weight": 12}
"""What uniform densities of 0.25 hold of (16, 6) and (3, 16)."""


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def arrays_of(model):
    return [value.numpy().copy() for value in model.state_dict().values()]


def rows():
    rng = stream(1, "rows")
    x = rng.normal(size=(64, 6)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


def train(part, arrays, round_, memory=None, client=0, config=CONFIG):
    x, y = rows()
    own = {"regrow": memory} if memory else {}
    job = ClientJob(np.arange(16 * client, 16 * client + 16), 3 + client, own)
    return Trainer(net()).train(arrays, [job], x, y, config, constraints=[part], round_=round_)


def held(result):
    return [None if mask is None else mask.astype(bool) for mask in result.held]


def test_an_exchange_is_the_definition():
    rng = stream(0, "exchange")
    for swaps in (0, 1, 5):
        mask = np.zeros(40, np.float32)
        mask[rng.choice(40, 15, replace=False)] = 1
        size, slope = np.abs(rng.normal(size=40)) * mask, rng.normal(size=40)
        found = exchanged(*(torch.from_numpy(a).reshape(8, 5) for a in (mask, size, slope)), swaps).numpy().ravel()
        kept = [i for i in range(40) if mask[i]]
        gone = set(sorted(kept, key=lambda i: size[i])[:swaps])
        come = set(sorted((i for i in range(40) if not mask[i]), key=lambda i: -abs(slope[i]))[:swaps])
        assert set(np.flatnonzero(found).tolist()) == (set(kept) - gone) | come


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9])
def test_densities_by_kernel_hold_as_many_weights_as_asked(density):
    shapes = [(16, 3, 3, 3), (64, 16, 3, 3), (128, 576), (10, 128)]
    found = layer_densities(shapes, density, "erk")
    sizes = [math.prod(shape) for shape in shapes]
    assert sum(d * n for d, n in zip(found, sizes, strict=True)) == pytest.approx(density * sum(sizes))
    assert max(found) <= 1.0
    free = [d / (sum(s) / math.prod(s)) for d, s in zip(found, shapes, strict=True) if d < 1]
    assert free == pytest.approx([free[0]] * len(free))
    assert layer_densities(shapes, density, "uniform") == [density] * 4


def test_dense_layers_leave_the_rest_to_the_others():
    found = layer_densities([(2, 2), (100, 100)], 0.5, "erk")
    assert found == pytest.approx([1.0, (0.5 * 10004 - 4) / 10000])


@pytest.mark.parametrize("mask", ["received", "own"])
@pytest.mark.parametrize("round_", [1, 2])
def test_a_job_holds_as_many_weights_as_ever_and_others_after_an_exchange(mask, round_):
    part, start = Regrow(0.75, every=2, share=0.5, density="uniform", mask=mask), arrays_of(net())
    result = train(part, start, round_)
    largest = [np.sort(np.abs(start[i]).ravel())[-count] for i, count in ((0, 24), (2, 12))]
    for i, limit, count in zip((0, 2), largest, COUNT.values(), strict=True):
        now = held(result)[i]
        assert now.sum() == count
        assert not result.arrays[i][0][~now].any()
        assert not result.start[i][~now].any()
        moved = int((now & (np.abs(start[i]) < limit)).sum())
        assert moved == (round(0.5 * count) if round_ == 2 else 0)


def test_what_grows_has_the_largest_gradients_of_the_first_batch_and_begins_at_zero():
    part, start = Regrow(0.75, every=1, share=0.25, density="uniform"), arrays_of(net())
    config = LocalConfig(max_steps=1, batch_size=16, lr=0.1)
    result = train(part, start, 1, config=config)
    model, (x, y) = net(), rows()
    before = [(np.abs(start[i]) >= np.sort(np.abs(start[i]).ravel())[-count]) for i, count in ((0, 24), (2, 12))]
    masks = [torch.from_numpy(mask.astype(np.float32)) for mask in before]
    with torch.no_grad():
        model[0].weight.mul_(masks[0])
        model[2].weight.mul_(masks[1])
    nn.functional.cross_entropy(model(torch.from_numpy(x[:16])), torch.from_numpy(y[:16])).backward()
    slope = model[0].weight.grad.numpy()
    grown = held(result)[0] & ~before[0]
    assert grown.sum() == 6
    assert np.abs(slope[grown]).min() >= np.abs(slope[~grown & ~before[0]]).max()
    np.testing.assert_allclose(result.arrays[0][0][grown], -0.1 * slope[grown], rtol=1e-4)


def test_the_mask_moves_in_its_rounds_less_and_less_until_it_rests():
    part = Regrow(0.5, every=2, share=0.4, until=8)
    assert [part.swapped(round_) for round_ in range(1, 12)] == pytest.approx(
        [0, 0.2 * (1 + math.cos(math.pi / 4)), 0, 0.2, 0, 0.2 * (1 + math.cos(3 * math.pi / 4)), 0, 0, 0, 0, 0]
    )
    assert [Regrow(0.5, every=3).swapped(round_) for round_ in (1, 2, 3, 6)] == [0, 0, 0.3, 0.3]


def averaged(part, arrays, round_, clients=3, memories=None):
    total = OverlapSum([array.shape for array in arrays])
    for client in range(clients):
        memory = (memories or {}).get(client)
        result = train(part, arrays, round_, memory, client)
        total.add([array[0].astype(np.float64) for array in result.arrays], 1.0, held=result.held)
        if memories is not None:
            memories[client] = result.memories[0]["regrow"]
    return total.finish(arrays)


def test_the_servers_model_is_as_sparse_as_asked_in_every_round_without_an_exchange():
    part, arrays = Regrow(0.75, every=3, share=0.5, density="uniform"), arrays_of(net())
    for round_ in range(1, 9):
        arrays = averaged(part, arrays, round_)
        counts = [int(np.count_nonzero(arrays[i])) for i in (0, 2)]
        if round_ % 3:
            assert counts == [24, 12], f"round {round_}"
        else:
            assert counts[0] > 24, "the union of what three devices chose"
            assert counts[1] >= 12


def test_masks_of_their_own_survive_between_jobs_and_are_no_longer_those_of_the_model():
    part, arrays = Regrow(0.75, every=2, share=0.5, density="uniform", mask="own"), arrays_of(net())
    memories: dict[int, dict] = {}
    arrays = averaged(part, arrays, 2, memories=memories)
    before = dict(memories)
    assert {key: value.nbytes for key, value in memories[0].items()} == {"0": 12, "2": 6}
    arrays = averaged(part, arrays, 3, memories=memories)
    for client in range(3):
        assert all(np.array_equal(before[client][key], memories[client][key]) for key in ("0", "2"))
    assert any(not np.array_equal(memories[0]["0"], memories[client]["0"]) for client in (1, 2))


def test_weights_are_counted_from_shapes():
    assert held_counts([(16, 6), None, (3, 16), None], Regrow(0.75, density="uniform")) == [24, None, 12, None]
    assert held_counts([(2, 2)], Regrow(0.99, density="uniform")) == [1]


def test_it_claims_the_dense_gradients_and_no_speed():
    effects = Regrow(0.9, every=5).effects
    assert (effects.step_time > 1, effects.update_passes, effects.weight_copies) == (True, 7 / 5, 2.0)
    assert "gradients of all weights are computed" in Regrow(0.9).remark
    assert Regrow(0.9, mask="own").keeps_memory
    assert not Regrow(0.9).keeps_memory


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.0}, "sparsity: got 0.0"),
        ({"sparsity": 0.5, "every": 0}, "every: got 0"),
        ({"sparsity": 0.5, "share": 0.0}, "share: got 0.0"),
        ({"sparsity": 0.5, "until": -1}, "until: got -1"),
        ({"sparsity": 0.5, "density": "even"}, "density: got 'even', expected erk or uniform"),
        ({"sparsity": 0.5, "mask": "mine"}, "mask: got 'mine', expected received or own"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(PartError) as caught:
        Regrow(**options)
    assert message in str(caught.value)
