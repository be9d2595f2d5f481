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
from fedlite.planning.auto import (
    DELIVERIES,
    WIDTHS,
    WIRES,
    Choice,
    Demand,
    Limits,
    Shipment,
    choose,
    ladder,
    obstacles,
)
from fedlite.rng import stream
from fedlite.techniques.automatic import parsed

START = Plan(name="auto", up=("fp32",), down=("fp16",))
UP_BYTES = {"fp32": 4000.0, "int8": 1000.0, "int4:64": 600.0, "topk:0.1": 200.0}
SHIPPED = (4000.0, 0.02, 0.008, 6000.0)
"""Stored bytes, latency, energy and memory of the full model as it was trained."""
INT8 = parsed(DELIVERIES[0]).plan.deliveries


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
        metered_bytes=up_bytes + 2000.0 * width(plan),
        shipment=Shipment(*(amount * width(plan) * (0.3 if plan.deliveries else 1.0) for amount in SHIPPED)),
        problems={"link": "The radio may send 300 bytes."} if up_bytes > 300 * 5 else {},
    )


def without_link_problem(plan):
    return dataclasses.replace(demand(plan), problems={})


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


def test_deliveries_come_before_channels_and_after_codecs():
    rungs = ladder(START, deliveries=[INT8])
    assert len(rungs) == 2 * len(ladder(START))
    assert [bool(rung.deliveries) for rung in rungs[:8]] == [False] * 4 + [True] * 4
    assert {width(rung) for rung in rungs[:8]} == {1.0}
    assert rungs[4].name == f"auto: {INT8[0].label}"
    assert len({rung.name for rung in rungs}) == len(rungs)


@pytest.mark.parametrize("limit", ["stored_bytes", "latency_s", "inference_j", "inference_memory_bytes"])
def test_a_limit_on_what_is_shipped_takes_a_delivery_before_channels(limit):
    most = dict(zip(("stored_bytes", "latency_s", "inference_j", "inference_memory_bytes"), SHIPPED, strict=True))[
        limit
    ]
    limits = Limits(**{limit: 0.5 * most})
    assert limits.of_shipment
    choice = choose(ladder(START, deliveries=[INT8]), without_link_problem, limits)
    assert (width(choice.plan), choice.plan.deliveries, choice.plan.up) == (1.0, INT8, ("fp32",))
    (excess,) = (one.excess for one in choice.rejected[0].obstacles.values())
    assert (excess.takes, excess.most, excess.times) == (most, 0.5 * most, 2.0)


@pytest.mark.parametrize(("limit", "word"), [("up_bytes", "up"), ("down_bytes", "down"), ("metered_bytes", "metered")])
def test_bytes_have_limits_of_their_own(limit, word):
    choice = pick(**{limit: 1500.0})
    assert choice.fits
    assert without_link_problem(choice.plan).takes[limit] <= 1500.0
    assert word in choice.rejected[0].obstacles


def exhaustive(limits):
    """The mildest of all combinations that fit, by looking at each: most channels, then as trained, then wire."""
    fitting = []
    for i, share in enumerate((1.0, 0.75, 0.5, 0.25, 0.125)):
        for j, shipped in enumerate((1.0, 0.3)):
            for k, up_bytes in enumerate((4000.0, 1000.0, 600.0, 200.0)):
                up, part = share * up_bytes, share * shipped
                takes = {
                    "memory_bytes": 1e6 * share,
                    "storage_bytes": 2000.0 * share,
                    "train_s": 10.0 * share,
                    "time_s": 10.0 * share + up / 1000,
                    "energy_j": 5.0 * share + up / 1000,
                    "up_bytes": up,
                    "down_bytes": 2000.0 * share,
                    "metered_bytes": up + 2000.0 * share,
                    "stored_bytes": 4000.0 * part,
                    "latency_s": 0.02 * part,
                    "inference_j": 0.008 * part,
                    "inference_memory_bytes": 6000.0 * part,
                }
                if all(takes[name] <= most for name, most in limits.items()):
                    fitting.append((i, j, k))
    return min(fitting, default=None)


def place(plan):
    up = list(UP_BYTES).index(plan.up[0])
    return WIDTHS.index(width(plan)), int(bool(plan.deliveries)), up


@pytest.mark.parametrize("seed", range(40))
def test_on_a_small_space_the_choice_is_the_exhaustive_optimum(seed):
    dice = stream(seed, "limits")
    full = without_link_problem(START).takes
    names = dice.permutation(list(full))[: dice.integers(1, 5)].tolist()
    limits = {name: float(full[name] * dice.uniform(0.1, 1.1)) for name in names}
    rungs = ladder(START, deliveries=[INT8])
    choice = choose(rungs, without_link_problem, Limits(**limits))
    wanted = exhaustive(limits)
    assert choice.fits == (wanted is not None)
    if wanted is None:
        assert [one.plan for one in choice.rejected] == rungs
        return
    assert place(choice.plan) == wanted
    # Every milder plan is told, with each limit that it broke.
    assert [place(one.plan) for one in choice.rejected] == sorted(place(rung) for rung in rungs if place(rung) < wanted)
    for one in choice.rejected:
        takes = without_link_problem(one.plan).takes
        broken = {name for name, most in limits.items() if takes[name] > most}
        assert {obstacle.excess.most for obstacle in one.obstacles.values()} == {limits[name] for name in broken}


def test_a_record_is_plain_and_says_by_how_much():
    record = pick(memory_bytes=0.9e6, time_s=6.0).record
    assert record["chosen"] == "auto: width 0.5, int8+zstd"
    first = record["rejected"][0]
    assert first["plan"] == "auto: full"
    assert first["over"]["memory"] == {
        "why": "training takes 1 MB of memory, a job may have 900 kB",
        "dimension": "bytes",
        "takes": 1e6,
        "most": 0.9e6,
        "times": 1e6 / 0.9e6,
    }
    linked = choose(ladder(START), demand, Limits()).record["rejected"][0]
    assert linked["over"] == {"link": {"why": "The radio may send 300 bytes"}}
    assert pick(memory_bytes=1.0).record["chosen"] is None
