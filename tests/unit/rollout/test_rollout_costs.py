"""What 1,000 inferences take on a device and on a server, computed beside from the radio's own parameters."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compose.rollout_costs import of_server, per_1000
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.compose.rollout_remarks import remarks
from fedlite.devices.radio import radio
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout
from fedlite.units import DAY_S

PLAN = """
name: costs
horizon: 10 d
fleet: {devices: 60, mix: {galaxy-a52: 2, nrf52840: 1}}
model:
  variants: [{name: int8, bytes: 4 MB, memory: 20 MiB, network: mobilenet-v1, precision: int8, accuracy: 80 %}]
  fallback: cloud
  cloud: {price_per_1000: 0.4, bytes_per_inference: 30 kB}
  use: {per_day: 50}
strategy: {waves: [{percent: 100 %}]}
"""


def made(text=PLAN):
    plan = parse_rollout(text)
    return plan, rehearsed(plan, variants(plan.model, [load_profile(name) for name in plan.fleet.mix]))


def test_a_device_computes_and_spreads_its_download_over_what_it_infers():
    plan, told = made()
    own = per_1000(plan, told, 0)["device"]
    assert own["energy_j"] == pytest.approx(1000 * told.plan.assigned.inference_j[0])
    assert own["bytes"] == pytest.approx(4e6 / (50 * 10) * 1000)
    # The board has no room for it.
    assert per_1000(plan, told, 1)["device"] is None


def test_who_asks_wakes_its_radio_for_every_answer():
    plan, told = made()
    fleet, phones = told.fleet, np.flatnonzero(told.fleet.population.profile_of == 0)
    home = fleet.presence.on_home_link(phones, np.full(len(phones), told.plan.start_s))
    on = fleet.connections.of(phones, home, np.zeros(len(phones), dtype=np.int32))
    generation = load_profile("galaxy-a52").radio_generation
    joules = []
    for name, link_bps, rtt_s in zip(on.links.access, on.rates.up_bps, on.rates.rtt_s, strict=True):
        own = radio(str(name), generation)
        rate = min(link_bps, own.up_most_bps)
        sending_w = own.up_base_w + own.up_w_per_bps * min(rate, own.up_holds_bps)
        greeting_j = 3 * rtt_s * own.down_base_w
        joules.append(
            own.ramp_w * own.ramp_s + greeting_j + sending_w * 30e3 * 8 / rate + own.tail_w * own.tail_s
        )  # fmt: skip
    asked = per_1000(plan, told, 0)["cloud"]
    assert asked["energy_j"] == pytest.approx(1000 * np.mean(joules), rel=1e-6)
    assert (asked["bytes"], asked["price"]) == (30e6, 0.4)


def test_those_that_nothing_fits_ask_the_server():
    plan, told = made()
    boards = int((told.fleet.population.profile_of == 1).sum())
    assert of_server(plan, told) == {
        "devices": boards, "inferences_per_day": boards * 50.0,
        "bytes_per_day": boards * 50 * 30e3, "price_per_day": pytest.approx(boards * 50 / 1000 * 0.4),
    }  # fmt: skip
    assert of_server(*made(PLAN.replace("fallback: cloud", "fallback: keep-old"))) is None


def test_without_a_server_only_the_device_is_told():
    alone = PLAN.replace("  fallback: cloud\n  cloud: {price_per_1000: 0.4, bytes_per_inference: 30 kB}\n", "")
    plan, told = made(alone)
    assert per_1000(plan, told, 0)["cloud"] is None
    assert told.plan.horizon_s == 10 * DAY_S


def test_who_asks_the_server_and_who_gets_worse_is_remarked():
    plan, told = made()
    boards = of_server(plan, told)["devices"]
    (said,) = remarks(plan, told, ())
    assert f"the {boards} devices that no variant fits ask the server" in said
    worse = PLAN.replace(
        "fallback: cloud", "fallback: keep-old\n  old: {bytes: 4 MB, accuracy: {galaxy-a52: 82 %, any: 70 %}}"
    )
    (said,) = remarks(*made(worse), ())
    assert said.startswith("the variant that fits is less accurate than what runs now on galaxy-a52 (82.0")
    same = worse.replace("82 %", "80 %")
    assert remarks(*made(same), ()) == []


def test_what_gates_miss_or_find_by_chance_is_remarked():
    gate = "gates: [{name: g, metric: install_failure, method: threshold, threshold: 5 %, every: 1 h}]\n"
    alone = PLAN.replace("fallback: cloud", "fallback: keep-old")

    def said(*detected, text=alone + gate):
        bad = [{"name": f"bad-{p}", "p_detect": p, "p_false_abort": None} for p in detected]
        return remarks(*made(text), [{"name": "good", "p_detect": None, "p_false_abort": 0.125}, *bad])

    assert said(0.9) == []
    assert said(0.02) == ["the gates all but never find what is wrong in bad-0.02"]
    assert said(0.9, 0.15) == ["in bad-0.15 the gates stop about as often as they stop a good model: by chance"]
    assert said(0.02, text=alone) == []
