"""Shared weights: a layer has as many values as clusters, and they move by the mean of their gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.constraint.shared import Shared
from fedlite.compression.kmeans import kmeans
from fedlite.compression.part import PartError
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream


def by_hand(values, count):
    """Lloyd's algorithm value by value."""
    centres = [float(c) for c in np.linspace(float(values.min()), float(values.max()), count)]
    ids = None
    for _ in range(50):
        # A value in the middle goes with the larger one.
        now = [min(range(count), key=lambda c, v=v: (abs(centres[c] - v), -c)) for v in values.astype(float)]
        if now == ids:
            break
        ids = now
        for c in range(count):
            own = [float(v) for v, i in zip(values, ids, strict=True) if i == c]
            centres[c] = sum(own) / len(own) if own else centres[c]
    return ids, centres


@pytest.mark.parametrize("count", [2, 3, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_a_plain_k_means(count, seed):
    values = stream(seed, "values").normal(size=60).astype(np.float32)
    centres, ids, _ = kmeans(values, count)
    wanted, means = by_hand(values, count)
    assert ids.tolist() == wanted
    np.testing.assert_allclose(centres, means, rtol=1e-9)


def test_few_values_are_their_own_clusters():
    centres, ids, _ = kmeans(np.array([1.0, -1.0, 1.0, 0.5], np.float32), 16)
    assert len(set(ids.tolist())) == 3
    assert centres[ids].tolist() == [1.0, -1.0, 1.0, 0.5]
    assert kmeans(np.full(5, 0.1, np.float32), 4).centres[0] == np.float32(0.1)


def problem():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    rng = stream(1, "rows")
    x, y = rng.normal(size=(24, 6)).astype(np.float32), rng.integers(0, 3, 24)
    return model, x, y


def trained(constraints, config, mode="sequential"):
    model, x, y = problem()
    arrays = [value.numpy().copy() for value in model.state_dict().values()]
    jobs = [ClientJob(np.arange(24), 3)] * 2
    return Trainer(model, mode=mode).train(arrays, jobs, x, y, config, constraints=constraints, round_=1)


@pytest.mark.parametrize("mode", ["sequential", "batched"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_layer_has_as_many_values_as_clusters_to_the_last_bit(mode, optimizer):
    result = trained([Shared(4)], LocalConfig(epochs=5, batch_size=8, lr=0.02, optimizer=optimizer), mode)
    for array, begun in zip(result.arrays[::2], result.start[::2], strict=True):
        assert len(np.unique(begun)) == 4
        for client in array:
            assert len(np.unique(client)) == 4
            for value in np.unique(begun):
                assert len(np.unique(client[begun == value])) == 1


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_is_that_of_the_centroids_by_the_mean_of_their_gradients(momentum):
    """One tensor of centroids for each layer, looked up, with torch's own optimiser."""
    config = LocalConfig(epochs=4, batch_size=24, lr=0.1, momentum=momentum)
    result = trained([Shared(4)], config)
    model, x, y = problem()
    ids, values, biases = [], [], []
    for parameter in model.parameters():
        if parameter.dim() == 2:
            flat = parameter.detach().numpy().reshape(-1)
            found = kmeans(flat, 4).indices
            ids.append(torch.from_numpy(found).reshape(parameter.shape))
            means = [flat[found == c].astype(np.float64).mean() for c in range(4)]
            values.append(torch.tensor(means, dtype=torch.float32, requires_grad=True))
        else:
            biases.append(parameter.detach().clone().requires_grad_())
    optimiser = torch.optim.SGD([*values, *biases], lr=0.1, momentum=momentum)
    for _ in range(4):
        optimiser.zero_grad()
        hidden = torch.relu(nn.functional.linear(torch.from_numpy(x), values[0][ids[0]], biases[0]))
        outputs = nn.functional.linear(hidden, values[1][ids[1]], biases[1])
        nn.functional.cross_entropy(outputs, torch.from_numpy(y)).backward()
        for value, own in zip(values, ids, strict=True):
            value.grad /= torch.bincount(own.reshape(-1), minlength=4)
        optimiser.step()
    for k in range(2):
        np.testing.assert_allclose(result.arrays[0][k], values[0][ids[0]].detach().numpy(), atol=2e-6)
        np.testing.assert_allclose(result.arrays[2][k], values[1][ids[1]].detach().numpy(), atol=2e-6)


def test_what_a_mask_before_it_holds_at_zero_stays_zero():
    result = trained([Magnitude(0.5), Shared(4)], LocalConfig(epochs=3, batch_size=8, lr=0.1))
    for array, mask in zip(result.arrays, result.held, strict=True):
        if mask is not None:
            assert not array[:, mask == 0].any()
            for client in array:
                assert len(np.unique(client[mask == 1])) <= 4


def test_a_received_zero_stays_and_a_layer_of_zeros_is_left_alone():
    part = Shared(2)
    arrays = [np.array([[0.0, 1.0, -1.0]], np.float32), np.zeros((2, 2), np.float32)]
    state = part.init(Received(arrays, ["a", "b"], 1, {}, stream(0, "x")))
    assert state[0].tolist() == [[-1, 1, 0]]
    assert state[1] is None
    slopes = [torch.tensor([[5.0, 1.0, 2.0]]), torch.ones(2, 2)]
    assert [g.tolist() for g in part.gradients(slopes, state, stacked=False)] == [[[0.0, 1.0, 2.0]], [[1, 1], [1, 1]]]


def test_options_are_checked():
    with pytest.raises(PartError, match=r"clusters: got 1, expected 2 to 256"):
        Shared(1)
