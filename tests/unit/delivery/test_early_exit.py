"""Early exits: by which exit inputs leave, what that costs, and that it follows the battery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlite.compose.bench import Bench
from fedlite.compose.bench_rows import quantities
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.early_exit import EarlyExit
from fedlite.delivery.exits import NEVER, Gated, calibrated, fitted, paths
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.devices.power import compute_energy
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.pricing import inference
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.techniques.technique import Recipe

SPEC = spec_of("cnn-exits", (1, 8, 8), 5, 1, channels=(8, 8, 8), pools=(2, 1, 1))
X = stream(1, "rows").normal(size=(80, 1, 8, 8)).astype(np.float32)


def rows(x=X):
    return Calibration(x, lambda _: 0.0, stream(1, "delivery"))


def net():
    """A net that is sure of what it says."""
    made = SPEC.build().eval()
    with torch.no_grad():
        for head in made.heads.values():
            head[-1].weight.mul_(12.0)
    return made


def one_by_one(model, x, threshold):
    """The device's way: an exit after the other, until one is sure enough."""
    said, left = [], []
    with torch.no_grad():
        for row in torch.from_numpy(x):
            exits = list(model.each(row[None]))
            sure = [float(scores.softmax(1).max()) >= np.float32(threshold) for scores in exits[:-1]]
            left.append([*sure, True].index(True))
            said.append(exits[left[-1]][0])
    return torch.stack(said), left


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.6, 0.9, NEVER])
def test_each_row_gets_the_answer_of_the_exit_at_which_the_device_would_stop(threshold):
    model = net()
    said, _ = one_by_one(model, X, threshold)
    with torch.no_grad():
        torch.testing.assert_close(Gated(model, threshold)(torch.from_numpy(X)), said, rtol=0, atol=2e-5)


def test_shares_and_agreement_are_those_of_the_rows():
    model = net()
    found = calibrated(model, X, 0.6)
    said, left = one_by_one(model, X, found.threshold)
    assert found.shares == tuple(left.count(place) / len(left) for place in range(3))
    with torch.no_grad():
        last = model(torch.from_numpy(X)).argmax(1)
    assert found.agreement == pytest.approx(float((said.argmax(1) == last).float().mean()))
    assert found.agreement >= 0.6


def test_the_threshold_is_the_lowest_that_agrees_and_more_agreement_leaves_later():
    model = fitted(net(), net(), X[:40])
    states = [calibrated(model, X, agree) for agree in (0.3, 0.8, 0.95, 1.0)]
    assert [one.threshold for one in states] == sorted(one.threshold for one in states)
    assert [one.shares[0] for one in states] == sorted((one.shares[0] for one in states), reverse=True)
    assert states[0].shares[0] > states[-1].shares[0]
    assert all(one.agreement >= agree for one, agree in zip(states, (0.3, 0.8, 0.95, 1.0), strict=True))


def test_fitted_heads_say_what_the_last_exit_says_and_nothing_else_moves():
    model = net()
    made = fitted(model, model, X)
    with torch.no_grad():
        wanted = model(torch.from_numpy(X)).argmax(1)
        before, after = (
            [float((scores.argmax(1) == wanted).float().mean()) for scores in one.each(torch.from_numpy(X))]
            for one in (model, made)
        )
    assert all(b > a + 0.1 for a, b in zip(before[:2], after[:2], strict=True)), (before, after)
    moved = [name for name, value in made.state_dict().items() if not torch.equal(value, model.state_dict()[name])]
    assert set(moved) == {f"heads.{exit_}.2.{part}" for exit_ in (0, 1) for part in ("weight", "bias")}
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_each_path_computes_the_blocks_and_the_exits_up_to_where_it_leaves():
    found = paths(net(), (0.5, 0.3, 0.2))
    assert [path.share for path in found] == [0.5, 0.3, 0.2]
    layers = [
        {layer.name.partition("#")[0] for layer in trace(path.plain, (1, 8, 8), name="").layers} for path in found
    ]
    for place, names in enumerate(layers):
        heads = {name.split(".")[1] for name in names if name.startswith("heads")}
        blocks = {name.split(".")[1] for name in names if name.startswith("blocks")}
        assert heads == blocks == {str(block) for block in range(place + 1)}
    assert len(paths(net(), (0.5, 0.0, 0.5))) == 2


def test_the_state_of_the_charge_is_shipped_and_all_are_told():
    part = EarlyExit(((0.5, 0.99), (0.2, 0.8), (0.0, 0.3)))
    shipped = {c: replace(part, charge=c).deliver(Artefact.of(net()), rows()) for c in (1.0, 0.5, 0.3, 0.2, 0.1)}
    told = [one.facts["states"] for one in shipped.values()]
    assert all(states == told[0] for states in told)
    assert [state["charge_from"] for state in told[0]] == [0.5, 0.2, 0.0]
    thresholds = {charge: float(one.net.threshold) for charge, one in shipped.items()}
    wanted = [told[0][place]["threshold"] for place in (0, 0, 1, 1, 2)]
    assert list(thresholds.values()) == pytest.approx(wanted)
    shares = [[path.share for path in shipped[charge].paths] for charge in (1.0, 0.1)]
    assert shares[1][0] > shares[0][0]
    assert shipped[1.0].forward_samples == len(X)


def test_a_net_that_was_trained_at_all_exits_keeps_its_heads_and_its_objective():
    spec = spec_of("cnn-exits", (1, 8, 8), 5, 1, channels=(8, 8, 8), pools=(2, 1, 1), outputs="all")
    model = spec.build().eval()
    artefact = EarlyExit().deliver(Artefact.of(model), rows())
    state = artefact.net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert artefact.net(torch.from_numpy(X)).shape == (len(X), 1, 5)
    assert artefact.forward_samples == len(X) / 2


def test_exits_of_a_quantised_net_keep_the_precision_of_its_layers():
    spec = spec_of("cnn-exits", (1, 8, 8), 5, 1, channels=(8, 8, 8), pools=(2, 1, 1), outputs="all")
    quantised = StaticQuantization(rows=16).deliver(Artefact.of(spec.build().eval()), rows())
    artefact = EarlyExit(((0.0, 0.3),)).deliver(quantised, rows())
    for path in artefact.paths:
        names = {
            layer.name.partition("#")[0] for layer in trace(path.plain, (1, 8, 8), name="").layers if layer.weights
        }
        assert names <= set(artefact.precision)


def test_a_net_without_exits_is_refused_and_stays():
    model = spec_of("cnn", (1, 8, 8), 5, 1).build()
    with pytest.raises(
        PartError, match="early-exit: got a Sequential without several exits, expected a net with a head"
    ):
        EarlyExit().deliver(Artefact.of(model), rows())
    with pytest.raises(PartError, match="got 1 calibration rows, expected 2 or more"):
        EarlyExit().deliver(Artefact.of(net()), rows(X[:1]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"states": ()}, "states: got charges"),
        ({"states": ((0.5, 0.9),)}, "states: got charges .* end with 0"),
        ({"states": ((0.2, 0.9), (0.5, 0.9), (0.0, 0.9))}, "expected falling shares"),
        ({"states": ((0.0, 1.2),)}, "got the agreement 1.2"),
        ({"charge": 1.5}, "charge: got 1.5"),
    ],
)
def test_options_out_of_range_are_told(options, said):
    with pytest.raises(PartError, match=said):
        EarlyExit(**options)


def test_a_mean_inference_is_the_sum_over_exits_of_share_times_time():
    effort = Effort(rows=400, epochs=3, rounds=1)
    bench = Bench("cnn-exits", bench_task("digits", ("cnn-exits",), effort), effort)
    outcome, full = (bench.run([Recipe(Plan(deliveries=parts))]) for parts in ((EarlyExit(((0.0, 0.5),)),), ()))
    board, shipped = load_profile("pixel-4"), outcome.shipped
    (state,) = shipped.artefact.facts["states"]
    nets = [path.plain for path in shipped.artefact.paths]
    times = [inference(board, trace(one, outcome.spec.input_shape, name=""), {}) for one in nets]
    shares = [share for share in state["exit_shares"] if share > 0]
    wanted = sum(share * float(time.value) for share, time in zip(shares, times, strict=True))
    assert float(shipped.latency(board).value) == pytest.approx(wanted, rel=1e-12)
    joules = sum(
        share * float(compute_energy(board, time, above_idle=True).value)
        for share, time in zip(shares, times, strict=True)
    )
    assert float(shipped.energy(board).value) == pytest.approx(joules, rel=1e-12)
    found, before = (quantities(one, board, effort.batch) for one in (outcome, full))
    assert found["latency_ms"]["value"] < before["latency_ms"]["value"]
    assert found["macs"] < before["macs"]
    for same in ("up_bytes", "down_bytes", "training_step_ms", "peak_memory_bytes"):
        assert found[same] == before[same]
    # The heads lie on flash whether they are used or not; the threshold is one more value.
    assert 0 <= found["stored_bytes"] - before["stored_bytes"] < 16
