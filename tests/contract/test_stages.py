"""One battery that every stage passes: those that ship, those of the documentation, and any of a user's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from own import examples
from sign_flip import SignFlip
from strangers import Half

from fedlite import wire
from fedlite.client.job import pack_memories, unpack_memories
from fedlite.client.stages import STAGES
from fedlite.client.stages.base import Sending, Stage, norm_of
from fedlite.client.stages.clip import CLIPPED, Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.noise import Noise
from fedlite.client.stages.power_sgd import PowerSgd
from fedlite.compression.part import PartError, from_record, made
from fedlite.rng import stream

EXAMPLES = {
    "clip": [Clip(1.0), Clip(0.01), Clip(1e6)],
    "noise": [Noise(0.3)],
    "error-feedback": [ErrorFeedback()],
    "power-sgd": [PowerSgd(), PowerSgd(1)],
    "strangers:Half": [Half()],
    "sign_flip:SignFlip": [SignFlip(0.5)],
    **examples(Stage),
}
"""Name in a scenario -> some settings of it."""
ALL = [part for parts in EXAMPLES.values() for part in parts]
OWED = {"error-feedback": "residual", "power-sgd": "residual", "half": "rest"}
"""Where a stage keeps what the server has not got yet, one flat vector over the floating tensors. Stages that remember
something else (a mean, an attack) are not in it."""

each_part = pytest.mark.parametrize("part", ALL, ids=lambda part: f"{part.label} {getattr(part, 'norm', '')}")
each_owing = pytest.mark.parametrize("part", [part for part in ALL if part.name in OWED], ids=lambda part: part.label)


def update(seed=0):
    """Two floating tensors, a counter, a scalar and an empty tensor."""
    rng = stream(seed, "update")
    return [
        rng.normal(size=(5, 4)).astype(np.float32),
        np.array(7),
        rng.normal(size=3),
        np.array(0.5, np.float32),
        np.zeros((0, 2), np.float32),
    ]


def flat(arrays):
    return np.concatenate([np.ravel(a).astype(np.float64) for a in arrays if a.dtype.kind == "f"])


def through(part, given, memory, seed=0):
    """Apply a stage and a lossy codec; return what the server decodes and what the device keeps."""
    applied = part.apply(given, Sending(update(9), 0, 1, memory, stream(seed, "stage")))
    decoded = wire.decode(wire.encode(applied.update, ("topk:0.3", "fp16")))
    return decoded, part.sent(applied.update, decoded, applied.memory)


def memory_of(part):
    return dict(through(part, update(5), {})[1])


def copied(arrays):
    return [array.copy() for array in arrays]


def test_every_stage_has_an_example_that_a_scenario_can_name():
    assert {name for name in EXAMPLES if ":" not in name} == set(STAGES)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, STAGES, Stage) == part


@each_part
def test_floating_tensors_keep_their_form_and_counters_pass(part):
    given = update()
    for memory in ({}, memory_of(part)):
        out = part.apply(given, Sending(update(9), 0, 1, memory, stream(1, "stage"))).update
        assert [(a.shape, a.dtype) for a in out] == [(a.shape, a.dtype) for a in given]
        assert out[1] == 7


@each_part
def test_it_is_a_function_of_update_memory_and_draws(part):
    for memory in ({}, memory_of(part)):
        one, two = (part.apply(update(), Sending(update(9), 0, 1, memory, stream(1, "stage"))) for _ in range(2))
        for a, b in zip(one.update, two.update, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
        assert one.metrics == two.metrics
        assert sorted(one.memory) == sorted(two.memory)
        assert all(one.memory[key].tobytes() == two.memory[key].tobytes() for key in one.memory)


@each_part
def test_its_arguments_are_not_changed(part):
    given, memory = update(), memory_of(part)
    before, kept = copied(given), {key: values.copy() for key, values in memory.items()}
    applied = part.apply(given, Sending(update(9), 0, 1, memory, stream(1, "stage")))
    told = copied(applied.update)
    decoded = [array / 2 if array.dtype.kind == "f" else array for array in applied.update]
    after = part.sent(applied.update, decoded, applied.memory)
    remembered = {key: values.copy() for key, values in after.items()}
    if part.remembers:
        part.lost(decoded, after)
    for now, was in zip([*given, *applied.update], [*before, *told], strict=True):
        np.testing.assert_array_equal(now, was)
    for now, was in ((memory, kept), (after, remembered)):
        assert all(np.array_equal(now[key], was[key]) for key in was)


@each_part
def test_what_it_sends_and_keeps_is_what_it_says_it_does(part):
    for memory in ({}, memory_of(part)):
        first, again = (part.apply(update(), Sending(update(9), 0, 1, memory, stream(1, "stage"))) for _ in range(2))
        assert isinstance(first.extra, bytes)
        assert first.extra == again.extra, "bytes beside the packet may depend on update, memory and draws alone"
        assert not first.extra or part.adds_bytes, "a stage that sends bytes of its own says adds_bytes = True"
        assert not first.memory or part.remembers, "a stage that keeps something says remembers = True"
        assert all(isinstance(kept, np.ndarray | np.generic) for kept in first.memory.values()), (
            "memory is numpy arrays"
        )
        assert all(isinstance(value, float | int | np.number) for value in first.metrics.values())


@each_part
def test_what_training_began_from_is_not_changed(part):
    start = update(9)
    part.apply(update(), Sending(start, 0, 1, memory_of(part), stream(1, "stage")))
    for now, was in zip(start, update(9), strict=True):
        np.testing.assert_array_equal(now, was)


@each_part
def test_its_memory_survives_the_way_to_a_worker_and_back(part):
    kept = {part.name: memory_of(part)} if part.remembers else {}
    packed = pack_memories([{}, kept, kept])
    back = unpack_memories({**packed, "clients": np.arange(3)}, 3)
    assert back[0] == {}
    for memory in back[1:]:
        assert sorted(memory) == sorted(kept)
        for key, values in kept.get(part.name, {}).items():
            assert (memory[part.name][key].dtype, memory[part.name][key].tobytes()) == (values.dtype, values.tobytes())


@each_owing
@pytest.mark.parametrize("losing", [False, True], ids=["all arrive", "some are lost"])
def test_what_was_decoded_and_what_is_owed_is_what_was_learnt(part, losing):
    memory, given, got = {}, np.zeros(24), np.zeros(24)
    for round_ in range(12):
        mine = update(round_)
        decoded, memory = through(part, mine, memory, round_)
        given += flat(mine)
        if losing and round_ % 3 == 1:
            memory = part.lost(decoded, memory)
        else:
            got += flat(decoded)
    np.testing.assert_allclose(got + memory[OWED[part.name]], given, atol=1e-4)
    assert np.abs(memory[OWED[part.name]]).max() > 0.01


@each_part
def test_a_stage_that_does_not_remember_keeps_nothing(part):
    if not part.remembers:
        assert memory_of(part) == {}


@each_part
def test_a_record_makes_the_part_again(part):
    assert from_record(json.loads(json.dumps(part.record)), Stage) == part


@each_part
def test_effects_claim_no_speed(part):
    assert part.effects.step_time >= 1.0
    assert part.effects.update_passes >= 0.0


# --- what each of them promises --------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [0.01, 1.0, 4.0, 1e6])
def test_a_clipped_update_is_never_longer_than_the_norm_and_points_the_same_way(norm):
    given = update()
    applied = Clip(norm).apply(given, Sending(update(9), 0, 1, {}, stream(1, "unused")))
    length = norm_of(given)
    assert norm_of(applied.update) <= norm * (1 + 1e-6)
    assert applied.metrics == {CLIPPED: float(length > norm)}
    np.testing.assert_allclose(flat(applied.update), flat(given) * min(1.0, norm / length), rtol=1e-6)


def test_noise_has_its_standard_deviation_and_no_mean_within_five_sigma():
    n, std = 200_000, 0.3
    given = [np.full(n, 2.0, np.float32), np.zeros(n, np.float32)]
    noisy = Noise(std).apply(given, Sending(update(9), 0, 1, {}, stream(4, "noise"))).update
    first, second = (a - b for a, b in zip(noisy, given, strict=True))
    for drawn in (first, second):
        assert abs(drawn.mean()) < 5 * std / np.sqrt(n)
        assert abs(drawn.std() - std) < 5 * std / np.sqrt(2 * n)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("kind", [Clip, Noise])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_number_that_means_nothing_is_refused(kind, value):
    with pytest.raises(PartError, match="expected a finite number above 0"):
        kind(value)
