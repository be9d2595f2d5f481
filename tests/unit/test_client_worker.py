"""The worker of native clients: what comes down is decoded, what goes up is encoded, and nothing is lost between."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import pytest

from fedlite import wire
from fedlite.client.job import METRIC, held_by, pack_received, packet_of, unpack_memories
from fedlite.client.sending import decoded_stack, decoded_update, decoded_weights, held_only, send
from fedlite.client.stages.base import Applied, Sending, Stage
from fedlite.client.stages.clip import CLIPPED, Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.noise import Noise
from fedlite.client.worker import ClientWorker
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.overlap import weighted_sums
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.engine.task import Task
from fedlite.learning.models.spec import spec_of
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.own_code import OwnCodeError
from fedlite.rng import stream

SPEC = spec_of("mlp", (6,), 3, 1, hidden=(8,))
LOCAL = LocalConfig(epochs=1, batch_size=8, lr=0.1)
STARTS = np.array([0, 10, 15, 30])
SEEDS = [11, 22, 33]


def data():
    draw = np.random.default_rng(4)
    x, y = draw.normal(size=(30, 6)).astype(np.float32), draw.integers(0, 3, 30)
    rows = draw.permutation(30)
    tests = {"test_x": x[:9], "test_y": y[:9], "test_rows": np.arange(9), "test_starts": np.array([0, 4, 4, 9])}
    return {"x": x, "y": y, "rows": rows, "starts": STARTS, **tests}


def worker(mode="sequential"):
    return ClientWorker(data(), SPEC.record, asdict(LOCAL), "cross-entropy", mode)


def arrays_of(structure):
    return [value.numpy().copy() for value in structure.build(SPEC).state_dict().values()]


def task(plan, *, kind="train", sums=False, equal=False, config=None, memory=None):
    meta = {
        "plan": plan.record,
        "sum": sums,
        "equal_weights": equal,
        "config": config or {},
        "round": 3,
    }
    arrays = {"clients": np.arange(3), "seeds": np.array(SEEDS, np.uint64), **(memory or {})}
    return Task(kind, meta, arrays)


def down(plan):
    return pack_received(wire.decode(wire.encode(arrays_of(plan.structure), plan.down)))


def run(plan, **told):
    return worker().run(task(plan, **told), down(plan))


def trained(plan, local=LOCAL):
    """What the trainer itself makes of the same jobs, from what a device decodes."""
    received = wire.decode(wire.encode(arrays_of(plan.structure), plan.down))
    given = data()
    jobs = [ClientJob(given["rows"][a:b], seed) for a, b, seed in zip(STARTS[:-1], STARTS[1:], SEEDS, strict=True)]
    trainer = Trainer(plan.structure.build(SPEC), mode="sequential")
    return trainer.train(received, jobs, given["x"], given["y"], local, constraints=plan.constraints)


@pytest.mark.parametrize(
    "plan", [Plan(), Plan("half", Width(0.5), down=("fp16",)), Plan("masked", constraints=(Magnitude(0.5),))]
)
def test_the_packets_carry_what_the_trainer_learns(plan):
    result, wanted = run(plan), trained(plan)
    assert result.meta == {"mode": "sequential"}
    assert result.arrays["num_examples"].tolist() == [10, 5, 15]
    assert result.arrays["steps"].tolist() == [2, 1, 2]
    np.testing.assert_array_equal(result.arrays["loss"], wanted.loss)
    for k in range(3):
        for got, stacked in zip(wire.decode(packet_of(result.arrays, k)), wanted.arrays, strict=True):
            np.testing.assert_array_equal(got, stacked[k])
        held = held_by(result.arrays, k, len(wanted.arrays))
        for mine, own in zip(held or [], wanted.held or [], strict=True):
            assert (mine is None) == (own is None)
            assert own is None or np.array_equal(mine, own)


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("up", [("fp32",), ("int8",)])
def test_a_sum_is_that_of_the_packets_it_stands_for(equal, up):
    plan = Plan(up=up)
    one_by_one, summed = run(plan), run(plan, sums=True, equal=equal)
    assert "packets" not in summed.arrays
    assert summed.arrays["lengths"].tolist() == one_by_one.arrays["lengths"].tolist()
    weights = np.ones(3) if equal else np.array([10.0, 5.0, 15.0])
    codec, start = wire.parse_codec(up), trained(plan).start
    models = [decoded_weights(packet_of(one_by_one.arrays, k), codec, start) for k in range(3)]
    stacked = [np.stack(parts) for parts in zip(*models, strict=True)]
    assert float(summed.arrays["weight"]) == weights.sum()
    for i, wanted in enumerate(weighted_sums(stacked, weights)):
        np.testing.assert_array_equal(summed.arrays[f"sum/{i}"], wanted)


def test_a_task_may_change_the_local_training():
    told, plain = run(Plan(), config={"lr": 0.5, "max_steps": 1}), run(Plan())
    assert told.arrays["steps"].tolist() == [1, 1, 1]
    assert told.arrays["packets"].tobytes() != plain.arrays["packets"].tobytes()


def test_stages_remember_and_tell_and_get_their_memory_back():
    plan = Plan(stages=(Clip(0.01), ErrorFeedback()), up=("topk:0.1",))
    first = run(plan)
    assert first.arrays[METRIC + CLIPPED].tolist() == [1.0, 1.0, 1.0]
    kept = unpack_memories(first.arrays, 3)
    assert all(sorted(memory) == ["error-feedback"] for memory in kept)
    assert all(np.abs(memory["error-feedback"]["residual"]).max() > 0 for memory in kept)
    memory = {name: values for name, values in first.arrays.items() if name.startswith("memory/")}
    again, fresh = run(plan, memory=memory), run(plan)
    assert fresh.arrays["packets"].tobytes() == first.arrays["packets"].tobytes()
    assert again.arrays["packets"].tobytes() != first.arrays["packets"].tobytes()


@dataclass(frozen=True)
class Says(Stage):
    """Tells one number of every job, and another of those with many rows."""

    name: ClassVar[str] = "says"

    def apply(self, update, job):
        return Applied(update, metrics={"always": 1.0, f"of {job.examples}": 2.0})


def test_of_a_chunk_those_metrics_are_told_that_all_its_jobs_tell():
    told = [name for name in run(Plan(stages=(Says(),))).arrays if name.startswith(METRIC)]
    assert told == [METRIC + "always"]


@dataclass(frozen=True)
class Breaks(Stage):
    """Divides by zero."""

    name: ClassVar[str] = "breaks"

    def apply(self, update, job):
        return 1 / 0


def test_a_worker_tells_itself_what_own_code_raised_since_a_traceback_does_not_cross_processes():
    with pytest.raises(
        OwnCodeError, match=r"^code of your own: got ZeroDivisionError: .* at .*test_client_worker\.py:\d+"
    ):
        run(Plan(stages=(Breaks(),)))


def test_an_evaluation_counts_each_client_and_those_without_samples():
    plan = Plan()
    result = run(plan, kind="evaluate")
    assert result.arrays["num_examples"].tolist() == [4, 0, 5]
    given = data()
    whole = Trainer(SPEC.build()).evaluate(arrays_of(plan.structure), given["test_x"][4:], given["test_y"][4:])
    assert result.arrays[METRIC + "loss"][2] == pytest.approx(whole.metrics["loss"], rel=1e-6)
    assert np.isnan(result.arrays[METRIC + "loss"][1])


def test_only_a_constraint_of_each_job_makes_a_plan_individual():
    class Own(Magnitude):
        individual = True

    assert not any(part.keeps_memory for part in Plan(constraints=(Magnitude(0.5),), stages=(Clip(1.0),)).parts)
    assert any(part.keeps_memory for part in Plan(stages=(ErrorFeedback(),)).parts)
    assert any(part.keeps_memory for part in Plan(constraints=(Own(0.5),)).parts)


# --- sending ---------------------------------------------------------------------------------------------------------


def test_stages_act_in_the_order_of_the_plan_on_streams_of_the_job():
    cohort = trained(Plan())
    plan = Plan(stages=(Clip(0.01), Noise(0.001)))
    sent = send(cohort, plan, SEEDS, [{}, {}, {}])
    for k, seed in enumerate(SEEDS):
        update = [stacked[k] - start for stacked, start in zip(cohort.arrays, cohort.start, strict=True)]
        clipped = Clip(0.01).apply(update, Sending([], 0, 1, {}, stream(0, "unused"))).update
        noisy = Noise(0.001).apply(clipped, Sending([], 0, 1, {}, stream(seed, "local noise"))).update
        got = decoded_update(sent.packets[k], wire.parse_codec(("fp32",)), cohort.start)
        for mine, wanted in zip(got, noisy, strict=True):
            np.testing.assert_allclose(mine, wanted, atol=1e-7)


@pytest.mark.parametrize("up", [("fp32",), ("topk:0.2",), ("int8", "zstd")])
def test_a_chunk_decodes_together_as_each_packet_alone(up):
    cohort, codec = trained(Plan()), wire.parse_codec(up)
    sent = send(cohort, Plan(up=up), SEEDS, [{}, {}, {}])
    stacked = decoded_stack(sent.packets, codec, cohort.start)
    for k, packet in enumerate(sent.packets):
        for many, one in zip(stacked, decoded_weights(packet, codec, cohort.start), strict=True):
            np.testing.assert_array_equal(many[k], one)


def test_stochastic_rounding_is_the_jobs_own_and_no_neighbours():
    cohort = trained(Plan())
    plan = Plan(up=("int4",))
    together = send(cohort, plan, SEEDS, [{}, {}, {}]).packets
    other = send(cohort, plan, [11, 23, 33], [{}, {}, {}]).packets
    assert [a == b for a, b in zip(together, other, strict=True)] == [True, False, True]


def test_what_is_not_held_began_at_zero():
    received = [np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32)]
    assert [a.tolist() for a in held_only(received, [np.array([True, False]), None])] == [[1.0, 0.0], [3.0]]
    assert held_only(received, None) == received
