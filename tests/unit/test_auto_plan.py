"""Automatic plans: the ladder, what rules a rung out, and the sentence that says so."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlite.client.stages.clip import Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.plan import Plan
from fedlite.devices.cost import Cost
from fedlite.planning.auto import WIDTHS, WIRES, Choice, Demand, Limits, choose, ladder, obstacles

START = Plan(name="auto", up=("fp32",), down=("fp16",))
UP_BYTES = {"fp32": 4000.0, "int8": 1000.0, "int4:64": 600.0, "topk:0.1": 200.0}


def width(plan):
    return 1.0 if plan.structure.is_full else plan.structure.share


def demand(plan):
    """A device on which everything is proportional to the width, and bytes to the codec: 1 byte is 1 ms and 1 mJ."""
    up_bytes = width(plan) * UP_BYTES[plan.up[0]]
    train_s = 10.0 * width(plan)
    return Demand(
        Cost(
            time_s=train_s + up_bytes / 1000,
            energy_j=5.0 * width(plan) + up_bytes / 1000,
            up_bytes=up_bytes,
            down_bytes=2000.0 * width(plan),
            peak_bytes=1e6 * width(plan),
        ),
        train_s=train_s,
        storage_bytes=2000.0 * width(plan),
        link_problem="The radio may send 300 bytes." if up_bytes > 300 * 5 else "",
    )


def without_link_problem(plan):
    return dataclasses.replace(demand(plan), link_problem="")


def pick(**limits) -> Choice:
    return choose(ladder(START), without_link_problem, Limits(**limits))


def test_the_ladder_compresses_the_wire_before_it_removes_channels():
    rungs = ladder(START)
    assert len(rungs) == len(WIDTHS) * (1 + len(WIRES))
    assert [width(rung) for rung in rungs] == [share for share in WIDTHS for _ in range(4)]
    assert [rung.up[0] for rung in rungs[:4]] == ["fp32", "int8", "int4:64", "topk:0.1"]
    assert rungs[0].is_full
    assert rungs[0].up == START.up
    assert len({rung.name for rung in rungs}) == len(rungs)


def test_no_rung_has_a_mask_or_fewer_bits_because_they_save_neither_time_nor_memory():
    assert not any(rung.constraints for rung in ladder(START))


def test_told_codecs_and_models_that_cannot_be_sliced_leave_fewer_rungs():
    assert [(width(r), r.up) for r in ladder(START, wires=())] == [(share, ("fp32",)) for share in WIDTHS]
    assert {width(rung) for rung in ladder(START, widths=(1.0,))} == {1.0}


def test_a_told_codec_that_is_on_the_ladder_is_tried_once():
    start = dataclasses.replace(START, up=WIRES[0][0], down=WIRES[0][1])
    assert len(ladder(start, widths=(1.0,))) == len(WIRES)


def test_error_feedback_stays_with_the_codec_it_was_told_for():
    start = dataclasses.replace(START, up=("topk:0.01",), stages=(Clip(1.0), ErrorFeedback()))
    assert [rung.stages for rung in ladder(start, widths=(1.0,))] == [start.stages, *[(Clip(1.0),)] * 3]


def test_without_limits_the_full_plan_is_chosen():
    choice = pick()
    assert choice.fits
    assert width(choice.plan) == 1
    assert choice.reason == "The full plan fits."


def test_memory_takes_channels_and_leaves_the_codec():
    choice = pick(memory_bytes=0.6e6)
    assert (width(choice.plan), choice.plan.up) == (0.5, ("fp32",))
    assert choice.plan.name == "auto: width 0.5"
    assert choice.reason == (
        "Width 0.5 is the mildest plan that fits: with width 0.75, topk:0.1+int8+zstd training takes 750 kB of memory, "
        "a job may have 600 kB."
    )


def test_a_deadline_takes_bytes_first():
    choice = pick(time_s=12.0)
    assert (width(choice.plan), choice.plan.up) == (1.0, ("int8", "zstd"))
    assert "with the full plan a round takes 14 s, its deadline is 12 s" in choice.reason


def test_every_limit_that_ruled_a_milder_plan_out_is_named_the_nearest_first():
    # Memory stops widths 1 and 0.75, the deadline then stops width 0.5 with full-precision updates.
    choice = pick(memory_bytes=0.6e6, time_s=6.0)
    assert (width(choice.plan), choice.plan.up) == (0.5, ("int8", "zstd"))
    deadline, memory = choice.reason.index("its deadline is"), choice.reason.index("of memory")
    assert deadline < memory
    assert "with width 0.5 a round takes 7 s" in choice.reason


@pytest.mark.parametrize(
    ("limits", "share", "word"),
    [
        ({"train_s": 6.0}, 0.5, "a job may compute for 6 s"),
        ({"storage_bytes": 600.0}, 0.25, "600 B is free"),
        ({"energy_j": 3.0}, 0.5, "a day allows 3 J"),
    ],
)
def test_each_limit_is_kept_and_told(limits, share, word):
    choice = pick(**limits)
    assert choice.fits
    assert width(choice.plan) == share
    assert word in choice.reason


def test_what_the_link_can_never_carry_is_ruled_out():
    choice = choose(ladder(START), demand, Limits())
    assert choice.plan.up == ("int8", "zstd")
    assert "The radio may send 300 bytes" in choice.reason


def test_if_nothing_fits_the_reason_is_that_of_the_narrowest_plan():
    choice = pick(memory_bytes=1000.0, time_s=0.1)
    assert not choice.fits
    assert width(choice.plan) == WIDTHS[-1]
    assert choice.reason == (
        "no plan fits: even with width 0.125, topk:0.1+int8+zstd training takes 125 kB of memory, a job may have 1 kB "
        "and a round takes 1.27 s, its deadline is 100 ms"
    )


def test_a_demand_equal_to_its_limit_fits():
    exact = without_link_problem(START)
    cost = exact.cost
    limits = Limits(cost.peak_bytes, exact.storage_bytes, exact.train_s, cost.time_s, cost.energy_j)
    assert obstacles(exact, limits) == {}


positive = st.floats(1e-3, 1e8)


@given(positive, positive, positive, positive, positive)
def test_the_choice_is_the_first_rung_that_fits_and_tighter_limits_never_give_a_milder_one(
    memory, storage, train, time, joules
):
    limits = Limits(memory, storage, train, time, joules)
    rungs = ladder(START)
    fitting = [rung for rung in rungs if not obstacles(without_link_problem(rung), limits)]
    choice = choose(rungs, without_link_problem, limits)
    assert choice.fits == bool(fitting)
    assert choice.plan == (fitting[0] if fitting else rungs[-1])
    tighter = dataclasses.replace(limits, memory_bytes=memory / 2)
    assert rungs.index(choose(rungs, without_link_problem, tighter).plan) >= rungs.index(choice.plan)
