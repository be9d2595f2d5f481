"""What is sent, with and without stages, is what training changed: floats as updates or weights, counters as values."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from fedlite import wire
from fedlite.client.sending import decoded_stack, decoded_update, decoded_weights, held_only, send
from fedlite.client.stages.base import Applied, Stage
from fedlite.client.stages.clip import CLIPPED, Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.rng import stream

SEEDS = [3, 4]


def cohort():
    """Two clients, a counter among their tensors; what they learnt is far from where they began."""
    dice = stream(8, "sending")
    start = [np.full((2, 3), 5.0, np.float32), np.array(7, np.int64), np.full(4, -2.0, np.float32)]
    learnt = [np.stack([one + dice.normal(size=one.shape).astype(np.float32) for _ in SEEDS]) for one in start]
    learnt[1] = np.array([17, 27], np.int64)
    return SimpleNamespace(arrays=learnt, start=start, num_examples=np.array([10, 20]), held=None)


@pytest.mark.parametrize("stages", [(), (Clip(1e9),)], ids=["plain", "staged"])
@pytest.mark.parametrize("up", [("fp32",), ("bf16",), ("int8",), ("fp16", "zstd"), ("topk:0.9999", "int8")])
def test_what_is_decoded_is_what_was_learnt_up_to_the_codec(up, stages):
    trained, codec = cohort(), wire.parse_codec(up)
    sent = send(trained, Plan(up=up, stages=stages), SEEDS, [{}, {}])
    stacked = decoded_stack(sent.packets, codec, trained.start)
    for k in range(2):
        weights = decoded_weights(sent.packets[k], codec, trained.start)
        update = decoded_update(sent.packets[k], codec, trained.start)
        for i, learnt in enumerate(trained.arrays):
            step = 0 if learnt.dtype.kind == "i" else 0.05
            np.testing.assert_allclose(weights[i], learnt[k], atol=step)
            np.testing.assert_array_equal(stacked[i][k], weights[i])
            changed = learnt[k] if learnt.dtype.kind == "i" else learnt[k] - trained.start[i]
            np.testing.assert_allclose(update[i], changed, atol=step)


def test_without_stages_nothing_is_remembered_told_or_added():
    sent = send(cohort(), Plan(up=("int8",)), SEEDS, [{}, {}])
    assert (sent.extra_bytes, sent.memories, sent.metrics) == ([0, 0], [{}, {}], [])


def test_with_stages_every_client_has_its_own_line():
    plan = Plan(up=("sign",), stages=(Clip(0.5), ErrorFeedback()))
    trained = cohort()
    sent = send(trained, plan, SEEDS, [{}, {}])
    assert sent.extra_bytes == [0, 0]
    assert sent.metrics == [{CLIPPED: 1.0}, {CLIPPED: 1.0}]
    assert [sorted(memory) for memory in sent.memories] == [["error-feedback"]] * 2
    for k in range(2):
        decoded = decoded_update(sent.packets[k], wire.parse_codec(("sign",)), trained.start)
        left = sent.memories[k]["error-feedback"]["residual"]
        whole = left + np.concatenate([decoded[0].reshape(-1), decoded[2]])
        assert np.linalg.norm(whole) == pytest.approx(0.5, rel=1e-5)


def test_stages_that_remember_nothing_leave_no_memory():
    sent = send(cohort(), Plan(up=("sign",), stages=(Clip(0.5),)), SEEDS, [{}, {}])
    assert sent.memories == [{}, {}]


def test_as_many_masks_as_tensors():
    with pytest.raises(ValueError, match="zip"):
        held_only(cohort().start, [None])


@pytest.mark.parametrize("up", [("sign",), ("int8",), ("topk:0.5",)])
def test_nothing_is_owed_where_nothing_is_held(up):
    trained = cohort()
    mask = np.array([[1, 1, 0], [0, 1, 0]], bool)
    trained.held = [mask, None, None]
    trained.start[0] = trained.start[0] * mask
    trained.arrays[0] = trained.arrays[0] * mask
    sent = send(trained, Plan(up=up, stages=(ErrorFeedback(),)), SEEDS, [{}, {}])
    for k, memory in enumerate(sent.memories):
        owed = memory["error-feedback"]["residual"]
        assert not owed[:6].reshape(2, 3)[~mask].any()
        update = np.concatenate([(trained.arrays[i][k] - trained.start[i]).ravel() for i in (0, 2)])
        decoded = decoded_update(sent.packets[k], wire.parse_codec(up), trained.start)
        read = np.concatenate([(decoded[0] * mask).ravel(), decoded[2]])
        np.testing.assert_allclose(read + owed, update, atol=1e-5)


@dataclass(frozen=True)
class Wrong(Stage):
    """Gives back what it was made with."""

    name: ClassVar[str] = "wrong"
    nothing: bool = False

    def apply(self, update, job):
        """Return nothing, or one number of each tensor."""
        return None if self.nothing else Applied([np.ravel(part)[:1] for part in update])


@pytest.mark.parametrize(
    ("nothing", "said"), [(True, "got NoneType, expected Applied"), (False, "got an update of other shapes")]
)
def test_a_stage_returns_an_update_of_the_same_shapes(nothing, said):
    with pytest.raises(PartError, match=f"stage 'wrong': {said}"):
        send(cohort(), Plan(stages=(Wrong(nothing),)), SEEDS, [{}, {}])


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"who": "me"}, "got 'me' as the metric 'who', expected a number"),
        ({"num-examples": 1e6}, "got the metric 'num-examples', which every reply has already"),
        ({"train_loss": 0.0}, "got the metric 'train_loss', which every reply has already"),
    ],
)
def test_metrics_are_numbers_of_their_own(metrics, said):
    class Tells(Stage):
        name = "tells"

        def apply(self, update, job):
            return Applied(update, metrics=metrics)

    with pytest.raises(PartError, match=f"stage 'tells': {said}"):
        send(cohort(), Plan(stages=(Tells(),)), SEEDS, [{}, {}])


def test_metrics_may_be_any_real_numbers():
    numbers = {"a": 1, "b": True, "c": np.float32(0.5), "d": np.bool_(1), "e": np.int8(3)}

    class Counts(Stage):
        name = "counts"

        def apply(self, update, job):
            return Applied(update, metrics=numbers)

    assert send(cohort(), Plan(stages=(Counts(),)), SEEDS, [{}, {}]).metrics == [numbers, numbers]


def test_a_stage_that_remembers_nothing_is_given_nothing_that_another_of_its_name_has_kept():
    kept = [{"clip": {"x": np.ones(1)}}] * 2

    class Looks(Stage):
        name = "clip"

        def apply(self, update, job):
            assert job.memory == {}
            return super().apply(update, job)

    assert send(cohort(), Plan(stages=(Looks(),)), SEEDS, kept).memories == [{}, {}]
