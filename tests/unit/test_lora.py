"""Adapters: what they compute, that nothing else is trained, sent or kept, and what a step with them costs."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import fedlite
from fedlite.api import Settings
from fedlite.compression.part import PartError
from fedlite.compression.structure.width import Width
from fedlite.devices.memory import tensor_bytes
from fedlite.devices.training import step_model
from fedlite.errors import InvalidFileError
from fedlite.learning.counting import OpCounter
from fedlite.learning.models.layers.lora import Lora, LoraLinear
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.stacked_program import UnsupportedModelError, compile_program
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile

PLAIN = spec_of("char-transformer", (16,), 20, 3, features=16, heads=2, hidden=32)


def spec(**options):
    return ModelSpec(**{**vars(PLAIN), "layers": Lora(**options)})


def tokens(rows=6, seed=0):
    return torch.randint(20, (rows, 16), generator=torch.Generator().manual_seed(seed)).float()


def stirred(net, seed=1):
    """The net with every parameter at random, so that no adapter is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return net


def test_training_begins_from_the_base_and_the_state_holds_adapters_alone():
    plain, net = PLAIN.build(), spec(rank=3).build()
    torch.testing.assert_close(net(tokens()), plain(tokens()), rtol=0, atol=0)
    assert all(name.endswith((".a", ".b")) for name in net.state_dict())
    # Per block four layers of 16 x 16, 16 x 32 and 32 x 16; the classifier of 16 x 20.
    count = 3 * (2 * (4 * 32 + 48 + 48) + 36)
    assert sum(p.numel() for p in net.parameters()) == sum(t.numel() for t in net.state_dict().values()) == count


def test_an_adapter_is_a_low_rank_addition_to_its_weights():
    layer = stirred(LoraLinear(torch.nn.Linear(7, 5), 2, 1.5))
    x = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(2))
    weight = layer.weight + 1.5 * (layer.b @ layer.a)
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.merged()(x), layer(x), rtol=1e-5, atol=1e-6)


def test_merged_it_is_the_plain_net_again():
    part = Lora(rank=3, train=("norm", "classifier"))
    net = stirred(spec(rank=3, train=("norm", "classifier")).build())
    wanted = net(tokens()).detach()
    merged = part.merged(net)
    plain = PLAIN.build()
    shapes = [[(key, value.shape) for key, value in each.state_dict().items()] for each in (merged, plain)]
    assert shapes[0] == shapes[1]
    torch.testing.assert_close(merged(tokens()), wanted, rtol=1e-4, atol=1e-5)
    assert trace(merged, (16,), name="net") == trace(plain, (16,), name="net")
    assert not torch.allclose(plain(tokens()), wanted, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "adapters", "trained"),
    [
        ({"targets": ("query", "value")}, 4, ()),
        ({"targets": ("blocks.1",)}, 6, ()),
        ({"train": ("classifier",)}, 12, ("classifier",)),
        ({"targets": ("blocks.0.mlp",), "train": ("norm", "norm_mlp", "positions")}, 2, ("norm.", "norm_mlp", "pos")),
    ],
)
def test_adapters_and_trained_modules_are_those_that_are_named(options, adapters, trained):
    net = spec(**options).build()
    assert sum(isinstance(module, LoraLinear) for module in net.modules()) == adapters
    rest = [name for name in net.state_dict() if not name.endswith((".a", ".b"))]
    assert all(any(word in name for word in trained) for name in rest)
    assert len(rest) > 0 or not trained


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_only_adapters_learn_alone_and_side_by_side(rule):
    net = spec(rank=2).build()
    arrays = [value.numpy().copy() for value in net.state_dict().values()]
    x = tokens(40).numpy()
    y = x[:, 3].astype(np.int64)
    jobs = [ClientJob(np.arange(k, 40, 4), seed=k) for k in range(4)]
    config = LocalConfig(epochs=3, batch_size=5, lr=0.02, optimizer=rule)
    base = {name: buffer.clone() for name, buffer in net.named_buffers()}
    one, many = (
        Trainer(net, mode=mode, objective="next-character").train(arrays, jobs, x, y, config)
        for mode in ("sequential", "batched")
    )
    for mine, other in zip(one.arrays, many.arrays, strict=True):
        np.testing.assert_allclose(other, mine, rtol=0, atol=2e-4 * max(1.0, np.abs(mine).max()))
    assert all(not np.array_equal(mine[0], was) for mine, was in zip(one.arrays, arrays, strict=True))
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, base[name], rtol=0, atol=0)


def test_a_layer_with_frozen_weights_is_in_no_stacked_program():
    """It would run there without its weights."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    compile_program(net)
    frozen = Lora(targets=("0",)).replace(net)[1]
    assert not list(frozen.parameters())
    with pytest.raises(UnsupportedModelError, match="LayerNorm with constants"):
        compile_program(torch.nn.Sequential(frozen))


def test_old_records_are_what_they_were_and_new_ones_come_back():
    assert set(PLAIN.record) == {"name", "input_shape", "num_classes", "seed", "width", "params"}
    assert ModelSpec.from_record(json.loads(json.dumps(PLAIN.record))) == PLAIN
    with_layers = spec(rank=3, targets=("query",))
    assert ModelSpec.from_record(json.loads(json.dumps(with_layers.record))) == with_layers
    assert hash(with_layers) != hash(PLAIN)
    first, again = with_layers.build(), with_layers.build()
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), again.buffers(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_slice_is_refused():
    with pytest.raises(PartError, match=r"got a slice of 0\.5 of a model with layers 'lora'.* at full width"):
        Width(0.5).build(spec())


# The base from a file


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    net = stirred(PLAIN.build(), seed=9)
    save_file({name: value.detach().numpy() for name, value in net.state_dict().items()}, path)
    return net, path


def test_the_base_comes_from_a_file_whose_digest_is_in_the_record(saved):
    net, path = saved
    with_file = spec(file=str(path))
    torch.testing.assert_close(with_file.build()(tokens()), net(tokens()), rtol=0, atol=0)
    assert with_file.record["layers"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ModelSpec.from_record(with_file.record) == with_file


def test_a_file_that_has_changed_is_refused(saved):
    _, path = saved
    with_file = spec(file=str(path))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(PartError, match=r"^sha256: got '.*' with \w{64}, expected \w{64}; put the file back"):
        with_file.build()


def test_files_that_are_none_or_of_another_model_are_refused(saved, tmp_path):
    _, path = saved
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PartError, match="which is no safetensors file"):
        spec(file=str(broken)).build()
    with pytest.raises(PartError, match="which cannot be read"):
        Lora(file=str(tmp_path / "nowhere"))
    other = ModelSpec(**{**vars(PLAIN), "num_classes": 21, "layers": Lora(file=str(path))})
    with pytest.raises(PartError, match=r"got \(20, 16\) for 'tokens.weight' .*, expected \(21, 16\)"):
        other.build()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, "^rank: got 0"),
        ({"alpha": 0.0}, r"^alpha: got 0\.0"),
        ({"sha256": "ab"}, "^sha256: got one without a file"),
        (
            {"targets": ("querry",)},
            "^targets: got 'querry', expected a module of the net, or a part of its name: 0, 1, 2, ",
        ),
        ({"targets": ("norm",)}, "^targets: got norm, of which none is left"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(PartError, match=said):
        spec(**options).build()


# Prices


def test_the_price_knows_what_is_frozen_and_what_flows_back():
    """Beyond the first block's attention every frozen product passes a gradient on; before it nothing is trained."""
    net = spec(rank=2).build()
    workload = trace(net, (16,), name="net")
    plain = trace(PLAIN.build(), (16,), name="net")
    assert workload.params == sum(p.numel() for p in net.parameters())
    assert workload.frozen == plain.params
    with OpCounter() as counter:
        net(tokens(1)).sum().backward()
    backward = sum(counter.count.backward_macs.values())
    predicted = sum(layer.backward * layer.macs for layer in workload.layers)
    first = [layer for layer in workload.layers if layer.name.startswith("blocks.0.attention.") and layer.backward == 2]
    unasked = sum(layer.macs for layer in first if layer.in_elements == 16 * 16 and layer.macs == 16 * 16 * 2)
    assert backward <= predicted <= backward + unasked
    assert workload.macs > plain.macs
    assert predicted < 2 * plain.macs


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize(
    "plain",
    [ModelSpec("char-transformer", (24,), 30, 1), spec_of("mlp", (784,), 10, 1, hidden=[200, 200])],
    ids=lambda spec: spec.name,
)
def test_the_peak_is_within_a_tenth_of_what_torch_holds(plain, batch):
    """Also where an adapter reads the data, whose gradient nobody asks for."""
    net = dataclasses.replace(plain, layers=Lora(rank=16)).build().train()
    optimizer = torch.optim.Adam(net.parameters())

    def step():
        optimizer.zero_grad()
        net(torch.zeros(batch, *plain.input_shape)).square().mean().backward()
        optimizer.step()

    step()
    with OpCounter() as counter:
        for parameter in net.parameters():
            parameter.sum()
        step()
    fixed = sum(b.nbytes for b in net.buffers())
    moments = 2 * sum(p.nbytes for p in net.parameters())
    predicted = tensor_bytes(trace(net, plain.input_shape, name="net"), batch, "adam")
    assert predicted == pytest.approx(counter.count.peak_bytes + fixed + moments, rel=0.1)


def test_an_adapter_that_reads_the_data_is_charged_no_gradient_of_it():
    plain = spec_of("mlp", (784,), 10, 1, hidden=[200, 200])
    workload = trace(dataclasses.replace(plain, layers=Lora(rank=16)).build(), (784,), name="net")
    reading = [layer for layer in workload.layers if layer.macs and layer.in_elements == 784]
    assert len(reading) == 2, "the frozen weights, and the adapter beside them"
    assert not any(layer.input_gradient for layer in reading)
    everything = tuple(dataclasses.replace(layer, input_gradient=True) for layer in workload.layers)
    charged = tensor_bytes(dataclasses.replace(workload, layers=everything), 64)
    assert charged - tensor_bytes(workload, 64) > 4 * 64 * 100


def test_adapters_save_time_and_memory_but_less_than_they_save_parameters():
    specs = [ModelSpec("char-transformer", (80,), 68, 1, layers=layers) for layers in (None, Lora())]
    full, thin = (trace(each.build(), (80,), name="net") for each in specs)
    assert thin.params < 0.1 * full.params
    steps = [step_model(load_profile("pixel-8"), each).seconds(16) for each in (full, thin)]
    assert steps[1] > 0.6 * steps[0], "forward and input gradients are computed as before"
    peaks = [tensor_bytes(each, 16, "adam") for each in (full, thin)]
    assert 0.5 * peaks[0] < peaks[1] < peaks[0]


# In a scenario

SCENARIO = """
name: adapters
fleet: {devices: 4, mix: {pixel-8: 1}}
task: {data: digits, model: {name: mlp, options: {hidden: [24]}}, layers: LAYERS}
training: {rounds: 2, clients_per_round: 3}
"""


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("{name: lora, rank: 0}", r"task\.layers\.rank: got 0, expected 1 or more"),
        ("{name: lora, targets: [conv]}", r"task\.layers: got 'conv', expected a module of the net"),
        ("loar", r"task\.layers: got 'loar', expected one of .*; write 'lora'"),
    ],
)
def test_a_mistaken_replacement_is_told_at_its_place(layers, said):
    with pytest.raises(InvalidFileError, match=said):
        parse_scenario(SCENARIO.replace("LAYERS", layers), "x.yaml")


def test_a_run_sends_and_stores_adapters_alone(tmp_path):
    path = tmp_path / "adapters.yaml"
    path.write_text(SCENARIO.replace("LAYERS", "{name: lora, rank: 2, train: ['3']}"))
    run = fedlite.run(path, out=tmp_path / "run", settings=Settings("local"))
    stored = load_file(tmp_path / "run" / "model.safetensors")
    assert set(stored) == {"1.a", "1.b", "3.weight", "3.bias"}
    numbers = 2 * (64 + 24) + 24 * 10 + 10
    assert sum(array.size for array in stored.values()) == numbers
    sent = run.clients["up_bytes"].to_list()
    assert all(4 * numbers < each < 4 * numbers + 120 for each in sent if each)
    assert any(sent)
