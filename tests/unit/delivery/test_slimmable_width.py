"""Slimmable width: each width is the submodel of that width, what it costs, and that it follows the battery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import on_the_device, quantities
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compression.part import PartError
from fedlite.compression.structure.ordered import Ordered
from fedlite.compression.structure.width import Width
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.slimmable_width import SlimmableWidth
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.devices.duty import hours_by_charge
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique

SPEC = spec_of("cnn", (1, 8, 8), 5, 1, channels=(8, 16), hidden=24)
SHARES = (0.25, 0.5, 1.0)
STATES = ((0.5, 1.0), (0.2, 0.5), (0.0, 0.25))
X = stream(1, "rows").normal(size=(20, 1, 8, 8)).astype(np.float32)
Y = np.arange(20) % 5


def nested():
    return Ordered(SHARES).build(SPEC).eval()


def rows():
    return Calibration(X, lambda _: 0.0, stream(1, "delivery"), len(X), labelled=(X, Y))


def submodel(net, share):
    """The net of that width, by the structure's own way of cutting it out."""
    arrays = [value.detach().numpy() for value in net.net.state_dict().values()]
    made, part = Width(share).build(SPEC).eval(), Width(share).place(SPEC, arrays).take()
    made.load_state_dict(dict(zip(made.state_dict(), map(torch.from_numpy, part), strict=True)))
    return made


@pytest.mark.parametrize(("charge", "share"), [(1.0, 1.0), (0.5, 1.0), (0.3, 0.5), (0.1, 0.25)])
def test_what_is_executed_at_a_charge_is_the_submodel_of_its_width_and_the_file_is_the_widest(charge, share):
    net = nested()
    artefact = SlimmableWidth(STATES, charge).deliver(Artefact.of(net), rows())
    wanted = submodel(net, share)
    with torch.no_grad():
        assert torch.equal(artefact.net.eval()(torch.from_numpy(X)), wanted(torch.from_numpy(X)))
    assert artefact.file() == Artefact.of(net).file()
    (path,) = artefact.paths
    traced = [trace(one, (1, 8, 8), name="").layers for one in (path.plain, wanted)]
    assert traced[0] == traced[1]
    found = {state["width"]: state["held_accuracy"] for state in artefact.facts["states"]}
    with torch.no_grad():
        assert found[share] == float((wanted(torch.from_numpy(X)).argmax(1).numpy() == Y).mean())


def test_a_width_is_cut_from_what_is_read_from_the_file():
    artefact = SlimmableWidth(STATES, 0.1).deliver(Artefact.of(nested()), rows())
    with torch.no_grad():
        said = artefact.net.eval()(torch.from_numpy(X))
        for tensor in artefact.net.state_dict().values():
            tensor.mul_(2.0)
        assert not torch.allclose(artefact.net(torch.from_numpy(X)), said)


def test_a_net_of_one_width_and_widths_that_nobody_trained_are_refused():
    with pytest.raises(PartError, match="got a Sequential, which was trained at one width"):
        SlimmableWidth(STATES).deliver(Artefact.of(SPEC.build()), rows())
    with pytest.raises(PartError, match=r"got the width 0\.75, expected one that was trained: 0\.25, 0\.5, 1"):
        SlimmableWidth().deliver(Artefact.of(nested()), rows())
    with pytest.raises(PartError, match="got charges"):
        SlimmableWidth(((0.5, 1.0),))
    with pytest.raises(PartError, match=r"got the width 1\.5"):
        SlimmableWidth(((0.0, 1.5),))
    with pytest.raises(PartError, match="from_charges: got 2 for 3 shares"):
        technique("battery-width").made({"from_charges": (0.5, 0.0)})


@pytest.mark.parametrize("after", [StaticQuantization(rows=4), WeightQuantization(8)])
def test_weights_that_no_width_can_be_cut_from_are_refused(after):
    artefact = SlimmableWidth(STATES, 0.1).deliver(Artefact.of(nested()), rows())
    with pytest.raises(PartError, match=r"slimmable-width: got a delivery after it that replaces layers"):
        after.deliver(artefact, rows())


def test_hours_are_those_of_each_state_for_its_part_of_the_battery():
    assert hours_by_charge([10.0, 20.0, 40.0], [0.5, 0.2, 0.0]) == pytest.approx(0.5 * 10 + 0.3 * 20 + 0.2 * 40)
    assert hours_by_charge([10.0], [0.0]) == 10.0


def test_narrower_widths_take_less_and_the_battery_lasts_longer():
    effort = Effort(rows=300, epochs=1, rounds=1)
    bench = Bench("cnn", bench_task("digits", ("cnn",), effort), effort)
    recipe = technique("battery-width").made({"charge": 0.1, "shares": SHARES})
    outcome, board = bench.run([recipe]), load_profile("nrf52840")
    told, after = on_the_device(outcome, board), quantities(outcome, board, effort.batch)
    assert [state["charge_from"] for state in told["by_charge"]] == [0.5, 0.2, 0.0]
    for kind in ("macs", "latency_ms", "energy_mj"):
        assert [state[kind] for state in told["by_charge"]] == sorted(
            (state[kind] for state in told["by_charge"]), reverse=True
        )
    # What is shown is the last state; parameters and bytes are those of the whole.
    shown = told["by_charge"][-1]
    assert (after["macs"], after["latency_ms"]["value"]) == (shown["macs"], shown["latency_ms"])
    assert after["macs"] < 0.1 * outcome.shipped.workload.macs
    assert after["params"] == outcome.shipped.workload.params
    alone = [state["hours_to_empty"] for state in told["by_charge"]]
    assert told["hours_to_empty"] == pytest.approx(0.5 * alone[0] + 0.3 * alone[1] + 0.2 * alone[2])
    assert told["hours_to_empty"] > 1.5 * told["hours_to_empty_if_full"]
    mains = replace(board, battery_j=None)
    assert set(on_the_device(outcome, mains)) == {"by_charge"}
