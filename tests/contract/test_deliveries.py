"""One battery that every delivery passes: those that ship, and any of a user's own."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from own import examples
from torch import nn

from fedlite.compression.part import PartError, from_record, made
from fedlite.compression.structure.ordered import Ordered
from fedlite.delivery import DELIVERIES
from fedlite.delivery.ask_server import AskServer
from fedlite.delivery.base import Artefact, Calibration, Delivery, delivered
from fedlite.delivery.batch_statistics import BatchStatistics
from fedlite.delivery.binarization import Binarization
from fedlite.delivery.channel_gating import ChannelGating
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.coarse_to_fine import CoarseToFine
from fedlite.delivery.connection_pruning import ConnectionPruning
from fedlite.delivery.diverse_neurons import DiverseNeurons
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.early_exit import EarlyExit
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.delivery.layer_pruning import LayerPruning
from fedlite.delivery.mixed_precision import MixedPrecision
from fedlite.delivery.slimmable_width import SlimmableWidth
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.rng import stream

EXAMPLES = {
    "static-quantization": [StaticQuantization(), StaticQuantization("none", 8), StaticQuantization(rows=4, warm=True)],
    "dynamic-quantization": [DynamicQuantization()],
    "weight-quantization": [WeightQuantization(8), WeightQuantization(4), WeightQuantization(2)],
    "batch-statistics": [BatchStatistics(), BatchStatistics(4)],
    "clustering": [Clustering(16), Clustering(5), Clustering(8, warm=True)],
    "entropy-coding": [EntropyCoding()],
    "structured-pruning": [
        StructuredPruning(),
        StructuredPruning(0.7, "taylor", "global"),
        StructuredPruning(importance="l2", below=0.9),
        StructuredPruning(0.75, "taylor", warm=True),
    ],
    "mixed-precision": [MixedPrecision(), MixedPrecision(0.2, (8, 4))],
    "binarization": [Binarization(), Binarization(ends=True)],
    "layer-pruning": [LayerPruning()],
    "connection-pruning": [ConnectionPruning(groups=4), ConnectionPruning(share=0.25, groups=4)],
    "diverse-neurons": [DiverseNeurons(), DiverseNeurons(keep=0.25, how="greedy"), DiverseNeurons(how="random")],
    "slimmable-width": [SlimmableWidth(), SlimmableWidth(((0.5, 1.0), (0.0, 0.75)), 0.3)],
    "channel-gating": [ChannelGating(steps=2), ChannelGating(0.25, 1, steps=0)],
    "coarse-to-fine": [CoarseToFine(steps=0), CoarseToFine(0.75, "l1", confused=0.2, steps=2)],
    "early-exit": [EarlyExit(), EarlyExit(((0.5, 0.99), (0.0, 0.5)), 0.2), EarlyExit(((0.0, 0.0),), fit=False)],
    "ask-server": [AskServer(), AskServer(codec=("int8",), at_once=5)],
    **examples(Delivery),
}
"""Name in a scenario -> some settings of it."""
ALL = [part for parts in EXAMPLES.values() for part in parts]
IMAGES = spec_of("cnn", (1, 8, 8), 5, 1, channels=(8, 16), hidden=24)
NESTED = SimpleNamespace(build=lambda: Ordered((0.5, 0.75, 1.0)).build(IMAGES), input_shape=(1, 8, 8), name="cnn")
NETS = {
    "perceptron": spec_of("mlp", (12,), 5, 1, hidden=(8, 6)),
    "images": IMAGES,
    "nested": NESTED,
    "batch statistics": spec_of("resnet8", (3, 16, 16), 5, 1, norm="batch"),
    "exits": spec_of("cnn-exits", (1, 8, 8), 5, 1, channels=(8, 8, 8), pools=(2, 1, 1)),
    "series": spec_of("cnn1d", (3, 32), 4, 1),
    "static statistics": spec_of("resnet8", (3, 16, 16), 5, 1, norm="static"),
}

USUAL = sorted(set(NETS) - {"exits", "nested"})
"""Nets all of whose tensors a forward pass reads."""
each_net = pytest.mark.parametrize("net", USUAL)
ONLY = {
    "layer-pruning": ["batch statistics"],
    "diverse-neurons": ["images", "perceptron"],
    "early-exit": ["exits"],
    "slimmable-width": ["nested"],
    "coarse-to-fine": ["images", "batch statistics"],
    "channel-gating": ["images", "batch statistics", "series"],
    "batch-statistics": ["static statistics"],
}
"""Name -> the nets that it applies to; others apply to all that are usual."""
each_pair = pytest.mark.parametrize(
    ("part", "net"),
    [pytest.param(part, net, id=f"{part.label}-{net}") for part in ALL for net in ONLY.get(part.name, USUAL)],
)


def rows_of(spec, seed=0):
    x = stream(seed, "rows").normal(size=(16, *spec.input_shape)).astype(np.float32)
    held = x, np.arange(len(x)) % 4
    return Calibration(
        x, lambda net: float(net(torch.from_numpy(x)).square().mean()), stream(seed, "delivery"), labelled=held
    )


def shipped(part, spec):
    net = spec.build().eval()
    return net, part.deliver(Artefact.of(net), rows_of(spec))


def state_of(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_every_delivery_has_an_example_that_a_scenario_can_name():
    assert {name for name in EXAMPLES if ":" not in name} == set(DELIVERIES)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, DELIVERIES, Delivery) == part
            assert from_record(json.loads(json.dumps(part.record)), Delivery) == part


@each_pair
def test_the_model_that_is_given_stays_as_it_was(part, net):
    spec = NETS[net]
    given = spec.build().eval()
    before, x = state_of(given), torch.from_numpy(rows_of(spec).x)
    said = given(x)
    part.deliver(Artefact.of(given), rows_of(spec))
    assert list(before) == list(given.state_dict())
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())
    assert torch.equal(given(x), said)


@each_pair
def test_what_is_read_from_the_file_computes_what_was_written(part, net):
    spec = NETS[net]
    _, artefact = shipped(part, spec)
    artefact.net.eval()
    x = torch.from_numpy(rows_of(spec).x)
    said = artefact.net(x)
    arrays = artefact.read(artefact.file())
    for tensor in artefact.net.state_dict().values():
        tensor.zero_()
    artefact.net.load_state_dict(
        {name: torch.from_numpy(np.array(one)) for name, one in zip(artefact.net.state_dict(), arrays, strict=True)}
    )
    assert torch.equal(artefact.net(x), said)


@each_pair
def test_the_same_model_gives_the_same_file(part, net):
    assert shipped(part, NETS[net])[1].file() == shipped(part, NETS[net])[1].file()


@each_pair
def test_what_is_traced_has_plain_weights_and_layers_with_a_precision(part, net):
    spec = NETS[net]
    _, artefact = shipped(part, spec)
    traced = trace(artefact.plain, spec.input_shape, name=spec.name)
    assert all(parameter.dtype == torch.float32 for parameter in artefact.plain.parameters())
    assert set(artefact.precision) <= {layer.name.partition("#")[0] for layer in traced.layers}


@each_net
def test_deliveries_act_in_their_order(net):
    spec = NETS[net]
    start = Artefact.of(spec.build().eval())
    both = (WeightQuantization(4), EntropyCoding())
    assert delivered(start, both, rows_of(spec)).file() == both[1].deliver(
        both[0].deliver(start, rows_of(spec)), rows_of(spec)
    ).file()  # fmt: skip
    assert delivered(start, (), rows_of(spec)) is start


WARM = [part for part in ALL if part.begins_with_previous]


@pytest.mark.parametrize("part", WARM, ids=lambda part: part.label)
@each_net
def test_what_was_shipped_before_changes_where_it_begins_and_not_what_it_is(part, net):
    spec = NETS[net]
    start, rows = Artefact.of(spec.build().eval()), rows_of(spec)
    before = part.deliver(start, rows)
    after = part.deliver(start, replace(rows, previous=before.net, previous_masks=before.masks))
    assert list(after.net.state_dict()) == list(before.net.state_dict())
    assert set(after.facts) == set(before.facts)
    (spent,) = [name.removesuffix("_from_nothing") for name in after.facts if name.endswith("_from_nothing")]
    assert after.facts[spent] < after.facts[f"{spent}_from_nothing"] == before.facts[spent]
    assert len(after.file()) == len(before.file())
    assert len(after.update(before)) < 0.2 * len(after.file()) + 200


ELSEWHERE = (
    EntropyCoding
    | StructuredPruning
    | LayerPruning
    | DiverseNeurons
    | AskServer
    | EarlyExit
    | SlimmableWidth
    | ChannelGating
    | CoarseToFine
)
LAYERED = [part for part in ALL if not isinstance(part, ELSEWHERE)]


@pytest.mark.parametrize("part", LAYERED, ids=lambda part: part.label)
def test_a_net_without_such_layers_is_refused_by_the_names_of_those_it_has(part):
    net = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU())
    before = state_of(net)
    rows = Calibration(np.zeros((2, 4), np.float32), lambda _: 0.0, stream(0, "x"))
    with pytest.raises(PartError, match=r"0 \(BatchNorm1d\); choose another technique"):
        part.deliver(Artefact.of(net), rows)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("part", "net"),
    [(LayerPruning(), "perceptron"), (DiverseNeurons(), "series"), (LayerPruning(9), "batch statistics")],
)
def test_what_does_not_apply_names_what_would(part, net):
    with pytest.raises(FedliteError, match=r"; (name|keep)"):
        shipped(part, NETS[net])


@pytest.mark.parametrize(
    "part", [LayerPruning(), DiverseNeurons(), ConnectionPruning(), MixedPrecision(), Binarization()]
)
def test_what_works_on_the_trained_net_does_not_come_after_what_replaced_its_layers(part):
    spec = NETS["images"]
    after = WeightQuantization(8).deliver(Artefact.of(spec.build().eval()), rows_of(spec))
    with pytest.raises(PartError, match="write this delivery before the others"):
        part.deliver(after, rows_of(spec))
