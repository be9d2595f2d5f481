"""PowerSGD on a device: what is owed, and the directions that are followed."""

from itertools import pairwise

import numpy as np
import pytest

from fedlite.client.sending import send
from fedlite.client.stages.base import Sending
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.power_sgd import PowerSgd
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.learning.models.spec import spec_of
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream
from fedlite.wire import decode, encode

STAGE = PowerSgd(rank=2)
CODEC = ("lowrank:2",)


def updates(rounds):
    """A matrix with a direction that stays and noise, a vector, and a tensor of four dimensions."""
    rng = stream(1, "power")
    lasting = np.outer(rng.normal(size=30), rng.normal(size=20))
    return [
        [
            (lasting + rng.normal(size=(30, 20))).astype(np.float32),
            rng.normal(size=7).astype(np.float32),
            rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        ]
        for _ in range(rounds)
    ]


def flat(arrays):
    return np.concatenate([np.ravel(a).astype(np.float64) for a in arrays])


def job(memory, held=None, draw=0):
    return Sending([], 0, 1, memory, stream(2, "start", draw), held)


@pytest.mark.parametrize("codec", [CODEC, ("lowrank:1",), ("int8",), ("topk:0.2", "fp16")], ids="+".join)
def test_what_arrived_and_what_is_owed_is_what_was_learnt_whatever_is_lost(codec):
    given, got, kept = np.zeros(823), np.zeros(823), {}
    for number, update in enumerate(updates(24)):
        applied = STAGE.apply(update, job(kept))
        decoded = decode(encode(applied.update, codec, stream(3, "draws", number)))
        kept = STAGE.sent(applied.update, decoded, applied.memory)
        given += flat(update)
        if number % 3 == 1:
            kept = STAGE.lost(decoded, kept)
        else:
            got += flat(decoded)
    np.testing.assert_allclose(got + kept["residual"], given, atol=2e-3)
    assert np.abs(kept["residual"]).max() > 0.1


def test_the_codec_of_its_rank_sends_exactly_what_it_leaves():
    applied = STAGE.apply(updates(1)[0], job({}))
    packet = encode(applied.update, CODEC)
    for got, was in zip(decode(packet), applied.update, strict=True):
        np.testing.assert_allclose(got, was, atol=2e-6 * np.abs(was).max())
    assert len(packet) < 4 * (2 * (30 + 20) + 7 + 2 * (8 + 27)) + 60
    assert np.linalg.matrix_rank(applied.update[0], tol=1e-4) == 2
    np.testing.assert_array_equal(applied.update[1], updates(1)[0][1])


def test_directions_are_kept_through_losses_and_come_nearer_to_the_best():
    whole = updates(1)[0][0].astype(np.float64)
    best = np.linalg.norm(np.linalg.svd(whole)[1][2:])
    errors, kept = [], {}
    for number in range(6):
        applied = STAGE.apply([whole.astype(np.float32)], job({k: v for k, v in kept.items() if k != "residual"}))
        errors.append(np.linalg.norm(applied.update[0] - whole))
        kept = STAGE.sent(applied.update, applied.update, applied.memory)
        if number % 2:
            before = kept["start 0"]
            kept = STAGE.lost(applied.update, kept)
            np.testing.assert_array_equal(kept["start 0"], before)
    assert errors[0] > 1.02 * best
    assert errors[-1] == pytest.approx(best, rel=0.01)
    assert all(a >= b * (1 - 1e-9) for a, b in pairwise(errors))


def test_an_update_of_zeros_does_not_end_the_directions():
    zeros = [np.zeros((30, 20), np.float32)]
    kept = STAGE.apply(zeros, job({})).memory
    assert np.abs(kept["start 0"]).min() > 0
    assert STAGE.apply(updates(1)[0][:1], job(kept)).update[0].any()


def test_what_a_mask_hides_is_neither_owed_nor_sent_twice():
    given, got, kept = np.zeros(600), np.zeros(600), {}
    mask = np.ones((30, 20))
    mask[10:] = 0
    for number, (update, *_) in enumerate(updates(20)):
        held = [mask] if number % 2 else None
        seen = update * mask if held else update
        applied = STAGE.apply([seen.astype(np.float32)], job(kept, held))
        decoded = [np.where(mask, applied.update[0], 0)] if held else applied.update  # as nothing else is read
        kept = STAGE.sent(decoded, decoded, applied.memory)
        given += flat([seen])
        got += flat(decoded)
    np.testing.assert_allclose(got + kept["residual"], given, atol=2e-3)


def test_two_stages_that_owe_the_same_are_refused_and_one_runs():
    net = spec_of("mlp", (6,), 3, 1, hidden=(16,)).build()
    x, y = stream(4, "x").normal(size=(24, 6)).astype(np.float32), stream(4, "y").integers(3, size=24)
    arrays = [value.numpy() for value in net.state_dict().values()]
    cohort = Trainer(net).train(arrays, [ClientJob(np.arange(24), 5)], x, y, LocalConfig(batch_size=4, lr=0.1))
    sent = send(cohort, Plan(stages=(PowerSgd(1),), up=("lowrank:1",)), [1], [{}])
    assert sorted(sent.memories[0]["power-sgd"]) == ["residual", "start 0", "start 2"]
    with pytest.raises(PartError, match=r"got error-feedback, power-sgd, each of which would owe the same"):
        send(cohort, Plan(stages=(ErrorFeedback(), PowerSgd(1)), up=("lowrank:1",)), [1], [{}])
    with pytest.raises(PartError, match=r"rank: got 0, expected a whole number from 1 to 1024"):
        PowerSgd(0)
