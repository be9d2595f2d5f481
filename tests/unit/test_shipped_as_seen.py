"""What a plan ships is what its training saw, whatever delivers it, in as few bytes as that takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compose.bench import Bench
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compose.shipping import Ware, artefact_of, pack, state_of
from fedlite.compose.trials import Trials
from fedlite.compression.constraint.binary import Binary, binarised
from fedlite.compression.constraint.fake_quant import FakeQuant, fake_quantize
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.constraint.mixed_bits import MixedBits
from fedlite.compression.constraint.progressive import Progressive
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.delivery.ask_server import AskServer
from fedlite.delivery.connection_pruning import ConnectionPruning
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.delivery.recurrent import IntegerRecurrent
from fedlite.delivery.signs import BinaryWeights
from fedlite.learning.data.dataset import Dataset
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique
from fedlite.techniques.technique import Recipe

CLASSES = 9


def ware(model, shape=(6,), **options):
    """A net of random weights, and rows of characters or of noise."""
    spec = spec_of(model, shape, CLASSES, 1, **options)
    drawn = stream(2, "rows")
    x = drawn.integers(CLASSES, size=(40, *shape)) if model.startswith("char") else drawn.normal(size=(40, *shape))
    x, y = x.astype(np.float32), drawn.integers(CLASSES, size=40)
    data = Dataset("noise", x[:30], y[:30], x[30:], y[30:], None, None, CLASSES, shape, "none", "drawn")
    return Ware(spec, state_of(spec.build()), data, np.arange(20), np.arange(20, 30), 3, "cross-entropy")


LSTM, TRANSFORMER = ware("char-lstm", units=16), ware("char-transformer")
PERCEPTRON = ware("mlp", (12,), hidden=(32, 16))
TRAINED = replace(PERCEPTRON, round_=1)


def delivered(of, *names):
    plan = Plan("plan")
    for name in names:
        made = technique(name).made({}).plan
        plan = Plan("plan", constraints=(*plan.constraints, *made.constraints), deliveries=made.deliveries)
    return pack(of, plan)


def test_masks_that_leave_a_layer_no_weight_are_refused_by_its_name():
    plan = Plan("plan", constraints=(Magnitude(0.9999, "local"),))
    with pytest.raises(
        PartError, match=r"99\.99% sparse: leaves none of the 384 weights of 1\.weight; take away fewer"
    ):
        pack(TRAINED, plan)
    assert pack(TRAINED, Plan("plan", constraints=(Magnitude(0.9, "local"),))).file
    # What is small before it is trained may grow.
    assert pack(PERCEPTRON, plan).file


def test_what_is_shipped_is_seen_in_the_last_round():
    """Masks that grow from round to round are those of the round after which the model is shipped."""
    plan = Plan("plan", constraints=(Progressive(0.9, rounds=4, scope="local"),))
    kept = []
    for round_ in (0, 3, 5):
        weights = artefact_of(replace(PERCEPTRON, round_=round_), plan).net.state_dict()["1.weight"]
        kept.append(int(weights.count_nonzero()))
    every = PERCEPTRON.arrays[0].size
    assert kept[0] == every > kept[1] > kept[2]
    with pytest.raises(PartError, match="leaves none of the 384 weights"):
        pack(replace(PERCEPTRON, round_=5), Plan("plan", constraints=(Progressive(0.9999, rounds=4, scope="local"),)))


def test_a_part_of_a_net_is_not_asked_from_a_server():
    with pytest.raises(PartError, match=r"width 0.5: got it beside 'asked from a server', .* expected the full net"):
        pack(PERCEPTRON, Plan("plan", structure=Width(0.5), deliveries=(AskServer(),)))


def test_connections_are_not_all_cut():
    with pytest.raises(
        PartError, match=r"share: got 0.99, which leaves 1 none of its 12 groups of inputs, .*0.9167 does"
    ):
        pack(PERCEPTRON, Plan("plan", deliveries=(ConnectionPruning("1", 0.99),)))


def tensors(of):
    return dict(zip(of.spec.build().state_dict(), map(torch.from_numpy, of.arrays), strict=True))


@pytest.mark.parametrize(
    ("constraint", "seen"),
    [
        (FakeQuant(4), lambda weight: fake_quantize(weight, 4)),
        (MixedBits((), others=2), lambda weight: fake_quantize(weight, 2)),
        (Binary(ends=True), binarised),
    ],
    ids=["bits", "mixed-bits", "binary"],
)
@pytest.mark.parametrize("of", [LSTM, PERCEPTRON], ids=["gates", "perceptron"])
def test_every_weight_is_as_the_forward_pass_saw_it(of, constraint, seen):
    made = artefact_of(of, Plan("plan", constraints=(constraint,)))
    for name, read in zip(tensors(of), made.read(made.file()), strict=True):
        was = tensors(of)[name]
        # Weights are clamped before a step of binary training, biases never.
        wanted = seen(was.clamp(-1, 1) if isinstance(constraint, Binary) else was) if was.ndim > 1 else was
        torch.testing.assert_close(torch.from_numpy(np.array(read)), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_delivery_after_it_does_not_give_the_bits_back(bits):
    alone, coded = (
        pack(LSTM, Plan("plan", constraints=(FakeQuant(bits),), deliveries=deliveries))
        for deliveries in ((), (EntropyCoding("zstd"),))
    )
    assert len(coded.file) < 1.02 * len(alone.file)
    for one, other in zip(alone.artefact.read(alone.file), coded.artefact.read(coded.file), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_no_delivery_replaces_is_stored_by_its_bits_too():
    plain, four = pack(LSTM, Plan()), delivered(LSTM, "qat-int4")
    assert len(four.file) < 0.2 * len(plain.file)
    read = dict(zip(four.artefact.net.state_dict(), four.artefact.read(four.file), strict=True))
    weight = tensors(LSTM)["lstm.weight_hh_l0"]
    torch.testing.assert_close(torch.from_numpy(read["lstm.weight_hh_l0"]), fake_quantize(weight, 4), rtol=1e-6, atol=0)


def test_signs_are_delivered_for_the_layers_that_were_trained_as_signs():
    made = delivered(TRANSFORMER, "binarization").artefact
    delivering = {f"{name}.weight" for name, one in made.net.named_modules() if isinstance(one, BinaryWeights)}
    weights = [name for name, value in TRANSFORMER.spec.build().named_parameters() if value.ndim > 1][1:-1]
    dense = {f"{n}.weight" for n, one in TRANSFORMER.spec.build().named_modules() if isinstance(one, nn.Linear)}
    assert delivering == set(weights) & dense
    assert "blocks.0.attention.query.weight" in delivering
    with pytest.raises(PartError, match="binarization: got a net without linear or convolutional layers between"):
        delivered(LSTM, "binarization")


def test_the_recurrent_layer_that_ships_has_integers():
    plain, small = pack(LSTM, Plan()), delivered(LSTM, "dynamic-int8")
    assert isinstance(small.artefact.net.lstm, IntegerRecurrent)
    assert len(small.file) < 0.5 * len(plain.file)  # biases, scales and the embedding of a small net
    assert small.precision["lstm"] == "int8"
    x = torch.from_numpy(LSTM.data.x_test)
    with torch.inference_mode():
        torch.testing.assert_close(small.artefact.net(x), plain.artefact.net(x), rtol=0.1, atol=0.02)


def test_weights_that_no_delivery_has_written_otherwise_are_told():
    left = delivered(LSTM, "weight-only").artefact.facts["weights_left_in_float32"]
    sizes = {name: value.numel() for name, value in tensors(LSTM).items() if value.ndim > 1}
    assert left == pytest.approx(1 - sizes["classifier.weight"] / sum(sizes.values()))
    assert "weights_left_in_float32" not in delivered(PERCEPTRON, "weight-only").artefact.facts
    assert "weights_left_in_float32" not in pack(LSTM, Plan()).artefact.facts


def test_weights_of_eight_bits_are_priced_as_what_is_executed():
    found = pack(PERCEPTRON, Plan("plan", constraints=(FakeQuant(8),)))
    assert found.precision == {}
    assert set(delivered(PERCEPTRON, "qat-int8").precision.values()) == {"int8"}


def test_searches_choose_by_other_rows_than_those_that_judge():
    effort = Effort(rows=300, epochs=1, rounds=1)
    bench = Bench("mlp", bench_task("digits", ("mlp",), effort), effort)
    outcome = bench.run([Recipe()])
    measured = Trials(bench, load_profile("pi-4b"), effort.batch).measure(Recipe())
    assert measured["accuracy"] == outcome.held["accuracy"] != outcome.metrics["accuracy"]
