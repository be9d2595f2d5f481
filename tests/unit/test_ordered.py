"""Ordered dropout: what a step computes, what it leaves alone, what it costs, and that every width becomes a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import PartError, made
from fedlite.compression.plan import Plan
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.ordered import Ordered
from fedlite.compression.structure.width import Width
from fedlite.devices.training import step_model
from fedlite.errors import FedliteError
from fedlite.learning.data.load import load
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.pricing import Job, price
from fedlite.results.directory import RunDirectory
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile

SHARES = (0.25, 0.5, 1.0)
SPEC = spec_of("cnn", (1, 8, 8), 5, 1, channels=(8, 16), hidden=24)
GATES = spec_of("char-lstm", (6,), 9, 1, units=8)


def drawn(part, spec, index):
    """The net of a part with one of its widths drawn."""
    net, dice = part.build(spec).train(), stream(0, "draws")
    while net._drawn != index:
        net.draw_part(dice)
    return net


@pytest.mark.parametrize(("spec", "inputs"), [(SPEC, torch.rand(3, 1, 8, 8)), (GATES, torch.randint(9, (3, 6)))])
@pytest.mark.parametrize("index", [0, 1])
def test_a_drawn_width_is_its_slice_and_leaves_the_rest_alone(spec, inputs, index):
    net = drawn(Ordered(SHARES), spec, index)
    arrays = [value.detach().numpy() for value in net.state_dict().values()]
    share = Width(SHARES[index])
    own, placement = share.build(spec), share.place(spec, arrays)
    own.load_state_dict(dict(zip(own.state_dict(), map(torch.from_numpy, placement.take()), strict=True)))
    outputs = net(inputs)
    assert torch.equal(outputs, own(inputs))
    found = torch.autograd.grad(outputs.square().sum(), list(net.parameters()))
    wanted = torch.autograd.grad(own(inputs).square().sum(), list(own.parameters()))
    for whole, part, index_map in zip(found, wanted, placement.maps, strict=True):
        torch.testing.assert_close(torch.from_numpy(whole.numpy()[index_map]), part)
        assert whole.abs().sum() == pytest.approx(float(part.abs().sum()), rel=1e-5)
    widest = spec.build()
    widest.load_state_dict(net.net.state_dict())
    assert torch.equal(net.eval()(inputs), widest(inputs))


def test_draws_are_a_named_stream_of_the_job_and_all_widths_alike():
    net, dice = Ordered(SHARES).build(SPEC), stream(3, "training/part")
    seen = []
    for _ in range(600):
        net.draw_part(dice)
        seen.append(net._drawn)
    assert all(abs(seen.count(index) - 200) < 50 for index in (0, 1, None))
    again = stream(3, "training/part")
    net.draw_part(again)
    assert net._drawn == seen[0]


def trained(part, mode="auto", seed=1, spec=SPEC, **options):
    data = stream(2, "rows")
    x = data.normal(size=(40, *spec.input_shape)).astype(np.float32)
    y = data.integers(spec.num_classes, size=40)
    arrays = [value.numpy().copy() for value in part.build(spec).state_dict().values()]
    trainer = Trainer(part.build(spec), mode=mode)
    result = trainer.train(
        arrays, [ClientJob(np.arange(40), seed)], x, y, LocalConfig(epochs=2, batch_size=8, lr=0.1), **options
    )
    return arrays, result


def test_the_same_job_trains_the_same_and_another_draws_anew():
    _, one = trained(Ordered(SHARES))
    _, two = trained(Ordered(SHARES))
    _, plain = trained(Width(1.0), mode="sequential")
    assert all(np.array_equal(a, b) for a, b in zip(one.arrays, two.arrays, strict=True))
    assert not np.array_equal(one.arrays[0], plain.arrays[0])


def test_clients_do_not_run_side_by_side():
    assert trained(Ordered(SHARES))[1].mode == "sequential"
    with pytest.raises(FedliteError, match="each step of a client draws what it trains"):
        trained(Ordered(SHARES), mode="batched")


def test_constraints_hold_of_the_slices_too():
    _, masked = trained(Ordered(SHARES), constraints=(Magnitude(0.5),))
    kernels = [stacked[0] for stacked in masked.arrays if stacked[0].ndim > 1]
    assert sum((kernel == 0).sum() for kernel in kernels) >= 0.49 * sum(kernel.size for kernel in kernels)
    _, plain = trained(Ordered(SHARES))
    _, rounded = trained(Ordered(SHARES), constraints=(FakeQuant(4),))
    assert not np.allclose(plain.arrays[0], rounded.arrays[0], atol=1e-3)


def test_the_narrow_learn_from_the_widest_and_the_widest_from_labels_alone():
    part, x = Ordered(SHARES, distillation=0.5, temperature=3.0), torch.rand(4, 1, 8, 8)
    net = drawn(part, SPEC, 0)
    outputs = net(x)
    teacher, answers = (net.net(x) / 3).softmax(1).detach(), F.log_softmax(outputs / 3, dim=1).detach()
    slow = [
        0.5 * 9 * sum(float(p * (p.log() - q)) for p, q in zip(row, answer, strict=True))
        for row, answer in zip(teacher, answers, strict=True)
    ]
    losses = net.own_losses(outputs)
    np.testing.assert_allclose(losses.detach(), slow, rtol=1e-3, atol=1e-5)
    assert (losses > 0).all()
    # The teacher is a constant: no slope outside of the slice.
    (last,) = torch.autograd.grad(losses.sum(), [list(net.parameters())[-2]])
    assert (last[:, 6:] == 0).all()
    assert (last[:, :6] != 0).any()
    widest = drawn(part, SPEC, None)
    assert (widest.own_losses(widest(x)) == 0).all()
    _, plain = trained(Ordered(SHARES))
    _, distilled = trained(part)
    assert not np.array_equal(plain.arrays[0], distilled.arrays[0])


def traced(part):
    return trace(part.build(SPEC), SPEC.input_shape, name="cnn")


@pytest.mark.parametrize("distillation", [0.0, 1.0])
def test_a_step_costs_the_mean_of_its_widths_and_has_room_for_the_widest(distillation):
    part, board = Ordered(SHARES, distillation), load_profile("pi-4b")
    widths = [step_model(board, traced(Width(share))) for share in SHARES]
    step, widest = step_model(board, traced(part)), widths[-1]
    teacher = 2 / 3 * widest.per_sample_s / 3 if distillation else 0.0
    assert step.per_sample_s == pytest.approx(np.mean([one.per_sample_s for one in widths]) + teacher)
    assert step.per_sample_s != pytest.approx(widest.per_sample_s)
    assert (step.fixed_s, step.low_factor) == (widest.fixed_s, widest.low_factor)
    assert traced(part).step_macs == pytest.approx(
        np.mean([traced(Width(share)).macs for share in SHARES])
        + (2 / 9 * traced(Width(1.0)).macs if distillation else 0)
    )
    job = Job(64.0, 4.0, 16)
    own, full = (price(board, Plan(structure=one), traced(one), job) for one in (part, Width(1.0)))
    assert own.peak_bytes == full.peak_bytes
    assert own.time_s < full.time_s


SCENARIO = """
name: ordered
seed: 3
fleet:
  devices: 6
  mix: {pixel-4: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task:
  data: digits
  clients: 6
  partition: iid
  model: {name: mlp, options: {hidden: [32]}}
training:
  rounds: 12
  clients_per_round: 6
  local: {epochs: 2, batch_size: 16, lr: 0.05}
clients:
  - for: {profile: pi-4b}
    plan: {structure: {name: ordered, shares: [0.125, 0.25, 0.5]}}
  - for: any
    plan: {structure: {name: ordered, shares: [0.125, 0.25, 0.5, 1.0], distillation: 0.5}}
"""


def test_every_width_of_a_fleet_becomes_a_model(tmp_path):
    ordered = run(parse_scenario(SCENARIO), out=tmp_path / "ordered", settings=Settings("local"))
    plain = run(parse_scenario(SCENARIO.partition("clients:\n")[0]), out=tmp_path / "plain", settings=Settings("local"))
    data, spec = load("digits"), spec_of("mlp", (1, 8, 8), 10, 3, hidden=(32,))
    for share, least in ((0.125, 0.5), (0.25, 0.7), (1.0, 0.85)):
        scores = []
        for done in (ordered, plain):
            final = [RunDirectory(done.path).read_model()[name] for name in spec.build().state_dict()]
            part = Width(share)
            trainer = Trainer(part.build(spec))
            scores.append(
                trainer.evaluate(part.place(spec, final).take(), data.x_test, data.y_test).metrics["accuracy"]
            )
        assert scores[0] > least
        assert share == 1.0 or scores[0] > scores[1] + 0.1
    assert set(ordered.clients["plan"]) == {"ordered to 0.5", "ordered to 1, distilled"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shares": [1.0]}, r"shares: got \[1.0\], expected two or more, rising"),
        ({"shares": [0.5, 0.5]}, r"shares: got \[0.5, 0.5\]"),
        ({"shares": [0.5, 1.5]}, r"shares: got \[0.5, 1.5\]"),
        ({"shares": [0.0, 0.5]}, r"shares: got \[0.0, 0.5\]"),
        ({"distillation": -1.0}, "distillation: got -1.0, expected a finite number, 0 or more"),
        ({"temperature": 0.0}, "temperature: got 0.0, expected a finite number above 0"),
    ],
)
def test_impossible_widths_are_refused(options, text):
    with pytest.raises(PartError, match=text):
        made("ordered", options, STRUCTURES, Structure)
