"""A batch of native jobs: who shares a packet, whose plan is whose, what it asks of devices, and what they reply."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from fedlite import pricing, wire
from fedlite.client.assignment import ByProfile
from fedlite.client.job import EQUAL_WEIGHT, METRIC, pack_memories
from fedlite.client.stages.clip import Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.noise import Noise
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.engine.pool import LocalPool
from fedlite.engine.task import WorkerSpec
from fedlite.flower import compat
from fedlite.flower.native_clients import Aggregation, NativeClients, NativeTask
from fedlite.flower.native_exchange import NativeExchange, _after_loss
from fedlite.flower.native_jobs import JobSheet
from fedlite.flower.native_replies import Answers, Computed, evaluation_reply
from fedlite.flower.records import from_record, to_record, types_of
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import LocalConfig
from fedlite.pricing import Job, price, rate
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile

SPEC = spec_of("mlp", (6,), 3, 1, hidden=(8,))
FULL = Plan("full", up=("fp32",))
HALF = Plan("half", Width(0.5), stages=(Noise(0.1),), up=("topk:0.1", "zstd"), down=("fp16",))
PROFILES = [load_profile("pixel-4"), load_profile("pi-4b")]
PROFILE_OF = np.array([0, 1, 0, 1, 0])
EXAMPLES = np.array([10, 3, 16])


def model(fill=None):
    values = [value.numpy().copy() for value in SPEC.build().state_dict().values()]
    return values if fill is None else [np.full_like(value, fill) for value in values]


def native(local=None):
    names = tuple(SPEC.build().state_dict())
    task = NativeTask(
        spec=SPEC,
        names=names,
        dtypes=types_of(model()),
        assignment=ByProfile([FULL, HALF], PROFILE_OF),
        profiles=PROFILES,
        profile_of=PROFILE_OF,
        workload_of=lambda structure: trace(structure.build(SPEC), (6,), name="toy"),
        clients=3,
        examples=EXAMPLES,
        test_examples=np.array([5, 0, 2]),
        sample_bytes=24,
        local=local or LocalConfig(epochs=2, batch_size=8, lr=0.1),
        metrics=("accuracy",),
    )
    return NativeClients(task, LocalPool(WorkerSpec("nobody:Nothing")), seed=1)


def content(fill=None, **config):
    record = to_record(tuple(SPEC.build().state_dict()), model(fill))
    return RecordDict({"arrays": record, "config": ConfigRecord(config)})


def sheet(contents, devices, *, kind="train", local=None):
    """A batch: message i goes to device i; of a message, its content and its id are all that counts."""
    messages = [
        SimpleNamespace(content=each, metadata=SimpleNamespace(message_id=f"message {number}"))
        for number, each in enumerate(contents)
    ]
    return JobSheet(native(local), kind, messages, np.asarray(devices), 0.0)


def _side(plan, aggregation=None, pool=None):
    """Clients that all follow one plan."""
    task = replace(native().task, assignment=ByProfile([plan, plan], PROFILE_OF))
    return NativeClients(task, pool or LocalPool(WorkerSpec("nobody:Nothing")), seed=1, aggregation=aggregation)


def _messages(contents, ids="abcd"):
    return [
        SimpleNamespace(content=each, metadata=SimpleNamespace(message_id=name))
        for each, name in zip(contents, ids, strict=False)
    ]


def _of_plan(plan, contents, ids="abcd"):
    """A batch whose devices all follow one plan."""
    return JobSheet(_side(plan), "train", _messages(contents, ids), np.arange(len(contents)), 0.0)


def test_jobs_of_one_content_and_one_plan_share_a_leg():
    one = content()
    made = sheet([one] * 5, range(5))
    assert len(made) == 5
    assert made.leg_of.tolist() == [0, 1, 0, 1, 0]
    assert [leg.plan for leg in made.legs] == [FULL, HALF]
    assert [plan.name for plan in made.plans] == ["full", "half", "full", "half", "full"]
    assert made.clients.tolist() == [0, 1, 2, 0, 1]
    assert made.own_examples.tolist() == [10, 3, 16, 10, 3]


def test_another_content_has_a_leg_of_its_own():
    made = sheet([content(1.0), content(2.0)], [0, 2])
    assert made.leg_of.tolist() == [0, 1]
    assert [float(leg.received[0].flat[0]) for leg in made.legs] == [1.0, 2.0]


def test_a_leg_holds_what_its_devices_really_decode():
    made = sheet([content()] * 2, [0, 1])
    full, half = made.legs
    for got, was in zip(full.received, model(), strict=True):
        np.testing.assert_array_equal(got, was)
    taken = Width(0.5).place(SPEC, model()).take()
    for got, was in zip(half.received, taken, strict=True):
        np.testing.assert_array_equal(got, was.astype(np.float16).astype(np.float32))
    assert made.download(1).packet == wire.encode(taken, ("fp16",))
    decoded = wire.decode(made.download(1).packet, like=half.received)
    assert [half.shared.arrays[str(i)].tobytes() for i in range(len(decoded))] == [a.tobytes() for a in decoded]
    assert full.raw_bytes == 4 * (6 * 8 + 8 + 8 * 3 + 3)
    assert half.raw_bytes == 4 * (6 * 4 + 4 + 4 * 3 + 3)


def test_only_codecs_of_one_length_tell_it_before_training():
    full, half = sheet([content()] * 2, [0, 1]).legs
    assert full.upload_bytes() == len(wire.encode(model(), ("fp32",)))
    assert half.upload_bytes() is None


@pytest.mark.parametrize(
    ("up", "known"),
    [
        (("int8",), True),
        (("topk:0.1",), False),
        (("zstd",), False),
        (("topk:0.1", "int8"), False),
        (("nonzero",), False),
    ],
)
def test_a_codec_that_drops_or_packs_has_no_length_before_training(up, known):
    (leg,) = _of_plan(Plan("other", up=up), [content()]).legs
    assert (leg.upload_bytes() is not None) is known


def test_a_server_that_asks_for_clipping_has_it_after_the_plans_own_stages():
    made = sheet([content(**{compat.CLIPPING_NORM_KEY: 0.5})] * 2, [0, 1])
    assert [leg.plan.stages for leg in made.legs] == [(Clip(0.5),), (Noise(0.1), Clip(0.5))]
    assert [leg.plan.stages for leg in sheet([content()] * 2, [0, 1]).legs] == [(), (Noise(0.1),)]


def test_the_config_of_a_message_changes_the_local_training_of_its_leg():
    made = sheet([content(**{"lr": 0.5, "local-epochs": 3, "server-round": 4})], [0])
    (leg,) = made.legs
    assert leg.content.local == {"lr": 0.5, "epochs": 3}
    assert leg.content.round_ == 4
    assert made.steps.tolist() == [6]
    assert made.samples.tolist() == [30]


@pytest.mark.parametrize(
    ("max_steps", "steps", "samples"),
    [(None, [4, 2, 4], [20, 6, 32]), (3, [3, 2, 3], [18, 6, 24]), (1, [1, 1, 1], [8, 3, 8])],
)
def test_steps_and_samples_are_those_of_the_local_config(max_steps, steps, samples):
    """Clients of 10, 3 and 16 examples, batches of 8, two epochs; the last batch of an epoch is short."""
    made = sheet([content()] * 3, [0, 1, 2], local=LocalConfig(epochs=2, batch_size=8, lr=0.1, max_steps=max_steps))
    assert made.steps.tolist() == steps
    assert made.samples.tolist() == samples


def test_an_evaluation_takes_no_step_and_sees_the_test_data():
    made = sheet([content()] * 3, [0, 1, 2], kind="evaluate")
    assert made.steps.tolist() == [0, 0, 0]
    assert made.samples.tolist() == made.own_examples.tolist() == [5, 0, 2]


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_each_job_costs_what_its_plan_costs_on_its_profile(kind):
    made = sheet([content()] * 5, range(5), kind=kind)
    works, lengths = made.works(), [1000, 77]
    asked = made.demands(works, lengths)
    for job in range(5):
        plan, profile = made.plans[job], PROFILES[PROFILE_OF[job]]
        workload = trace(plan.structure.build(SPEC), (6,), name="toy")
        steps = None if kind == "evaluate" else float(made.steps[job])
        work = price(profile, plan, workload, Job(float(made.samples[job]), steps, batch=8))
        assert asked.train_s[job] == work.time_s
        assert (works.low[job], works.high[job]) == (work.low, work.high)
        assert asked.peak_bytes[job] == work.peak_bytes
        packet = len(made.download(job).packet)
        assert asked.down_bytes[job] == packet
        assert asked.up_bytes[job] == lengths[made.leg_of[job]]
        assert asked.storage_bytes[job] == packet + 24 * made.own_examples[job]


def test_seeds_are_named_by_message_and_kind():
    one = content()
    first, again = sheet([one, one], [0, 2]), sheet([one, one], [0, 2])
    assert first.seeds.tolist() == again.seeds.tolist()
    assert len(set(first.seeds.tolist())) == 2
    assert first.seeds.tolist() != sheet([one, one], [0, 2], kind="evaluate").seeds.tolist()


@pytest.mark.parametrize(("config", "round_"), [({}, 0), ({"server-round": "soon"}, 0), ({"server-round": 3}, 3)])
def test_a_message_that_tells_no_round_is_of_round_0(config, round_):
    (leg,) = sheet([content(**config)], [0]).legs
    assert leg.content.round_ == round_


def test_a_profile_is_priced_once_for_all_plans_and_rounds_that_cost_the_same(monkeypatch):
    asked = []

    def counted(profile, plan, workload, job):
        asked.append((profile.name, plan.name))
        return rate(profile, plan, workload, job)

    monkeypatch.setattr(pricing, "rate", counted)
    side = native()
    for norm in (1.0, 2.0):
        messages = _messages([content(**{compat.CLIPPING_NORM_KEY: norm, "lr": norm})] * 4)
        JobSheet(side, "train", messages, np.array([0, 1, 2, 4]), 0.0).works()
    assert asked == [("pixel-4", "full"), ("pi-4b", "half")]
    JobSheet(side, "evaluate", messages, np.array([0, 1, 2, 4]), 0.0).works()
    assert len(asked) == 4


def test_the_draws_of_a_leg_are_named_after_the_first_message_of_its_content():
    plan, one, other = Plan("rounded", down=("int8",)), content(), content()
    made = _of_plan(plan, [one, other, other, one], ids="bdca")
    for job, name in enumerate(["a", "c", "c", "a"]):
        draws = stream(1, "downlink", name, plan.structure.key, "int8")
        assert made.download(job).packet == wire.encode(model(), ("int8",), draws)
    assert made.download(0).packet != made.download(1).packet


@pytest.mark.parametrize(("equal", "mean"), [(False, (10 * 1.0 + 16 * 3.0) / 26), (True, 2.0)])
def test_one_reply_is_the_mean_of_the_packets_that_arrived(equal, mean):
    side = _side(FULL, Aggregation(mean=True, one_reply=True, equal_weights=equal))
    made = JobSheet(side, "train", _messages([content(0.0)] * 3), np.arange(3), 0.0)
    packets = [wire.encode(model(value), ("fp32",)) for value in (1.0, 2.0, 3.0)]
    arrays = {
        "packets": np.frombuffer(b"".join(packets), np.uint8),
        "lengths": np.array([len(packet) for packet in packets]),
        "num_examples": np.array([10, 3, 16]),
        "loss": np.array([0.5, 9.0, 2.0]),
    }
    computed = [Computed(made.legs[0], np.arange(3), arrays)]
    first, second, third = Answers(side, "train", made.contents, computed, np.array([True, False, True])).records()
    assert (second, third) == (None, None)
    for got in from_record(first["arrays"]):
        np.testing.assert_allclose(got, mean, rtol=1e-6)
    assert first["metrics"]["num-examples"] == 26
    assert first["metrics"]["train_loss"] == pytest.approx((10 * 0.5 + 16 * 2.0) / 26)


def test_one_reply_of_one_example_tells_its_loss():
    side = _side(FULL, Aggregation(mean=True, one_reply=True))
    made = JobSheet(side, "train", _messages([content(0.0)]), np.arange(1), 0.0)
    arrays = answered(wire.encode(model(1.0), ("fp32",))) | {"num_examples": np.array([1])}
    answers = Answers(side, "train", made.contents, [Computed(made.legs[0], np.arange(1), arrays)], np.array([True]))
    (reply,) = answers.records()
    assert reply["metrics"]["train_loss"] == 0.5


class Counting(LocalPool):
    """Counts the jobs that it is asked to do, and keeps what was asked last."""

    jobs = 0

    def submit(self, task, shared):
        self.jobs += len(task.arrays["clients"])
        self.meta = task.meta
        return super().submit(task, shared)


@pytest.mark.parametrize(("kind", "jobs"), [("train", 2), ("evaluate", 1)])
def test_late_jobs_are_computed_where_devices_remember_their_training(kind, jobs):
    plan, pool = Plan("owing", stages=(ErrorFeedback(),), up=("int8",)), Counting(WorkerSpec("nobody:Nothing"))
    exchange = NativeExchange(_side(plan, pool=pool), kind, _messages([content()] * 3), np.arange(3), 0.0)
    assert exchange.final
    exchange.start(np.array([True, False, False]), np.array([True, True, False]))
    assert pool.jobs == jobs


@pytest.mark.parametrize(("arrives", "kept"), [(True, 0.25), (False, 1.25)])
def test_what_a_lost_upload_said_is_owed_beside_the_residual(arrives, kept):
    side = _side(Plan("owing", stages=(ErrorFeedback(),), up=("int8",)))
    exchange = NativeExchange(side, "train", _messages([content()]), np.arange(1), 0.0)
    leg = exchange._sheet.legs[0]
    packet = wire.encode([np.ones_like(array) for array in leg.received], ("int8",), stream(1, "test"))
    owed = {"residual": np.full(sum(array.size for array in leg.received), 0.25, np.float32)}
    arrays = {**answered(packet), **pack_memories([{"error-feedback": owed}])}
    exchange._computed.append(Computed(leg, np.arange(1), arrays))
    # The model that came down is zeros, so that the weights in the packet are the update.
    exchange.settle(np.array([arrives]), np.array([True]))
    assert set(side.memories.of(0, leg.plan)["error-feedback"]["residual"].tolist()) == {kept}


def test_chunks_are_cut_by_three_forward_passes_over_the_samples():
    exchange = NativeExchange(_side(FULL), "train", _messages([content()] * 3), np.arange(3), 0.0)
    macs = _side(FULL).task.workload_of(FULL.structure).macs
    assert exchange._macs(np.arange(3)) == 3.0 * macs * exchange._sheet.samples.sum()


def test_an_evaluation_is_as_long_as_its_reply():
    exchange = NativeExchange(_side(FULL), "evaluate", _messages([content()] * 2), np.arange(2), 0.0)
    length = len(compat.to_bytes(evaluation_reply(7, {"accuracy": 0.25})))
    assert exchange.demands.up_bytes.tolist() == [length, length]
    assert exchange.facts.up_raw_bytes.tolist() == [length, length]


def test_uploads_of_unknown_length_count_nothing_before_training():
    exchange = NativeExchange(
        _side(Plan("sparse", up=("topk:0.1",))), "train", _messages([content()] * 2), np.arange(2), 0.0
    )
    assert not exchange.final
    assert exchange.demands.up_bytes.tolist() == [0, 0]


def answered(packet, metrics=None):
    """What a worker answers of one job."""
    return {
        "packets": np.frombuffer(packet, np.uint8),
        "lengths": np.array([len(packet)]),
        "num_examples": np.array([10]),
        "loss": np.array([0.5]),
        **{METRIC + name: np.array([value]) for name, value in (metrics or {}).items()},
    }


def test_a_reply_of_its_own_has_what_came_down_where_its_client_holds_nothing():
    plan = Plan("half", Width(0.5), up=("fp32",))
    side = _side(plan)
    made = JobSheet(side, "train", _messages([content(5.0)]), np.arange(1), 0.0)
    packet = wire.encode([np.ones_like(array) for array in made.legs[0].received], ("fp32",))
    arrays = answered(packet, {"clipped": 1.0, "share": 0.25})
    computed = [Computed(made.legs[0], np.arange(1), arrays)]
    (reply,) = Answers(side, "train", made.contents, computed, np.array([True])).records()
    weights, biases, last, outputs = from_record(reply["arrays"])
    assert weights.tolist() == [[1.0] * 6] * 4 + [[5.0] * 6] * 4
    assert biases.tolist() == [1.0] * 4 + [5.0] * 4
    assert last.tolist() == [[1.0] * 4 + [5.0] * 4] * 3
    assert outputs.tolist() == [1.0] * 3
    assert dict(reply["metrics"]) == {
        "num-examples": 10, "train_loss": 0.5, EQUAL_WEIGHT: 1.0, compat.NORM_BIT_KEY: 1, "share": 0.25,
    }  # fmt: skip
    assert isinstance(reply["metrics"][compat.NORM_BIT_KEY], int)


@pytest.mark.parametrize(
    ("stages", "one_reply", "summed"), [((), True, True), ((ErrorFeedback(),), True, False), ((), False, False)]
)
def test_sums_come_back_where_one_reply_stands_for_all_and_no_device_remembers(stages, one_reply, summed):
    pool = Counting(WorkerSpec("nobody:Nothing"))
    side = _side(Plan("p", stages=stages, up=("int8",)), Aggregation(mean=True, one_reply=one_reply), pool)
    exchange = NativeExchange(side, "train", _messages([content()] * 2), np.arange(2), 0.0)
    exchange.start(np.array([True, True]), np.array([True, True]))
    assert pool.meta["sum"] is summed


def test_the_ledger_has_the_bounds_of_the_energy_of_each_job():
    messages = _messages([content()] * 3)
    facts = NativeExchange(_side(FULL), "train", messages, np.arange(3), 0.0).facts
    works = JobSheet(_side(FULL), "train", messages, np.arange(3), 0.0).works()
    assert facts.energy_low.tolist() == works.low.tolist()
    assert facts.energy_high.tolist() == works.high.tolist()
    assert (facts.energy_low < 1).all()
    assert (facts.energy_high > 1).all()


@pytest.mark.parametrize(("names", "told"), [(("share", "share"), {"share"}), (("share", "other"), set())])
def test_replies_tell_the_metrics_that_all_of_them_have(names, told):
    """Flower refuses replies whose metrics have different names."""
    made = JobSheet(_side(FULL), "train", _messages([content(5.0)] * 2), np.arange(2), 0.0)
    (leg,) = made.legs
    packet = wire.encode([np.ones_like(array) for array in leg.received], leg.plan.up)
    computed = [
        Computed(
            leg,
            np.array([place]),
            answered(packet, {name: 0.25}),
        )
        for place, name in enumerate(names)
    ]
    replies = Answers(_side(FULL), "train", made.contents, computed, np.array([True, True])).records()
    assert [set(reply["metrics"]) - {"num-examples", "train_loss", EQUAL_WEIGHT} for reply in replies] == [told, told]


def test_what_one_slice_lacks_is_the_mean_of_those_that_have_it():
    half, quarter = Plan("half", Width(0.5), up=("fp32",)), Plan("quarter", Width(0.25), up=("fp32",))
    task = replace(native().task, assignment=ByProfile([half, quarter], PROFILE_OF))
    side = NativeClients(task, native().pool, seed=1, aggregation=Aggregation(mean=True))
    made = JobSheet(side, "train", _messages([content(5.0)] * 2), np.arange(2), 0.0)
    computed = []
    for place, leg in enumerate(made.legs):
        packet = wire.encode([np.full_like(array, 1.0 + place) for array in leg.received], ("fp32",))
        arrays = answered(packet)
        computed.append(Computed(leg, np.array([place]), arrays))
    replies = Answers(side, "train", made.contents, computed, np.array([True, True])).records()
    biases = [from_record(reply["arrays"])[1].tolist() for reply in replies]
    assert biases == [[1.0] * 4 + [5.0] * 4, [2.0] * 2 + [1.0] * 2 + [5.0] * 4]


def test_a_lost_packet_is_owed_again_by_the_stages_that_remember():
    leg = _of_plan(Plan("owing", stages=(Clip(9.0), ErrorFeedback()), up=("int8",)), [content(0.0)]).legs[0]
    packet = wire.encode([np.zeros_like(array) for array in leg.received], ("int8",), stream(1, "test"))
    arrays = {"packets": np.frombuffer(packet, np.uint8), "lengths": np.array([len(packet)])}
    owed = {"residual": np.full(sum(array.size for array in leg.received), 0.5, np.float32)}
    kept = _after_loss(Computed(leg, np.arange(1), arrays), 0, {"error-feedback": owed, "another": {"a": np.ones(1)}})
    assert set(kept) == {"error-feedback", "another"}
    assert set(kept["error-feedback"]["residual"].tolist()) == {0.5}
