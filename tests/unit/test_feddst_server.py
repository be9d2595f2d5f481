"""The server of sparse training: the mean over holders, and masks that are the ones a pruning server would send.

Algorithm 1 of FedDST (Bibikar et al. 2022) prunes the mean by magnitude, layer by layer, before it is sent again. Here
each device cuts it by the same rule before its first step. That is one and the same training, shown bit for bit; what
differs is the round after an exchange, in which the union of the devices' masks comes down: more bytes.
"""

from __future__ import annotations

import numpy as np

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.regrow import Regrow, held_counts
from fedlite.compression.overlap import OverlapSum
from fedlite.learning.models.spec import spec_of
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import stream

SPEC = spec_of("mlp", (20,), 5, 1, hidden=(16,))
RULE = Regrow(0.7, every=2)
CONFIG = LocalConfig(epochs=2, batch_size=8, lr=0.1)
CLIENTS = 3


def rows():
    dice = stream(4, "rows")
    return dice.normal(size=(60, 20)).astype(np.float32), dice.integers(5, size=60)


def trained(arrays, client, round_):
    x, y = rows()
    job = ClientJob(np.arange(20 * client, 20 * client + 20), 10 * round_ + client)
    return Trainer(SPEC.build(), mode="sequential").train(
        arrays, [job], x, y, CONFIG, constraints=(RULE,), round_=round_
    )


def averaged(arrays, round_):
    """The server's mean, and what each client sent and holds."""
    total, sent = OverlapSum([array.shape for array in arrays]), []
    for client in range(CLIENTS):
        cohort = trained(arrays, client, round_)
        values = [stacked[0].astype(np.float64) for stacked in cohort.arrays]
        total.add([20.0 * one for one in values], 20.0, held=cohort.held)
        sent.append((values, cohort.held))
    return total.finish(arrays), sent


def pruned(arrays):
    """The model as FedDST's server cuts it: slowly, layer by layer, ties by position."""
    counts = held_counts([array.shape if array.ndim > 1 else None for array in arrays], RULE)
    out = []
    for array, count in zip(arrays, counts, strict=True):
        cut = array.copy().reshape(-1)
        if count is not None:
            order = sorted(range(cut.size), key=lambda place: (-abs(cut[place]), place))
            cut[order[count:]] = 0.0
        out.append(cut.reshape(array.shape))
    return out


def start():
    return [value.numpy().copy() for value in SPEC.build().state_dict().values()]


def test_each_weight_is_the_mean_over_the_devices_that_hold_it():
    begun, _ = averaged(start(), 1)
    mean, sent = averaged(begun, 2)
    masks = [held[0] for _, held in sent]
    assert not np.array_equal(masks[0], masks[1])
    holders = sum(masks)
    slow = sum(values[0] * mask for (values, _), mask in zip(sent, masks, strict=True))
    np.testing.assert_allclose(mean[0][holders > 0], (slow / np.maximum(holders, 1))[holders > 0], rtol=1e-5)
    assert (mean[0][holders == 0] == 0).all()


def test_rounds_without_an_exchange_leave_the_model_as_sparse_as_asked_and_an_exchange_the_union():
    begun, sent = averaged(start(), 1)
    counts = held_counts([array.shape if array.ndim > 1 else None for array in begun], RULE)
    assert [int((array != 0).sum()) for array in begun if array.ndim > 1] == [n for n in counts if n is not None]
    mean, sent = averaged(begun, 2)
    union = np.any([held[0] for _, held in sent], axis=0)
    assert ((mean[0] != 0) <= union).all()
    assert counts[0] < (mean[0] != 0).sum() <= union.sum()
    again, _ = averaged(mean, 3)
    assert int((again[0] != 0).sum()) == counts[0]


def test_cutting_at_the_devices_is_the_training_of_a_server_that_prunes():
    begun, _ = averaged(start(), 1)
    union, _ = averaged(begun, 2)
    cut = pruned(union)
    assert not np.array_equal(cut[0], union[0])
    for round_ in (3, 4):
        for client in range(CLIENTS):
            one, other = (trained(model, client, round_) for model in (union, cut))
            assert all(np.array_equal(a, b) for a, b in zip(one.arrays, other.arrays, strict=True))
            assert all((a is b is None) or np.array_equal(a, b) for a, b in zip(one.held, other.held, strict=True))
    state = RULE.init(Received(union, ["a"] * len(union), 3, {}, stream(0, "x")))
    for mask, kept in zip(state.masks, cut, strict=True):
        assert mask is None or np.array_equal(mask.numpy() > 0, kept != 0)
