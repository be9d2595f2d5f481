"""HeteroFL: the scaler, static batch normalisation, and full-width clients that are plain federated averaging."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from fedlite.compression.part import PartError
from fedlite.compression.structure.heterofl import HeteroFL, outputs_of
from fedlite.compression.structure.width import Width
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.batch_statistics import BatchStatistics
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.results.directory import RunDirectory
from fedlite.rng import stream
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

MLP = spec_of("mlp", (6,), 3, 0, hidden=(8, 4))


def test_hidden_layers_are_scaled_in_training_and_the_last_is_not():
    net, x = HeteroFL(0.5).build(MLP), torch.rand(5, 6)
    _, first, _, second, _, last = net
    with torch.no_grad():
        # Computed by hand, for calling a layer would scale.
        once = 2 * (x @ first.weight.T + first.bias)
        twice = 2 * (once.relu() @ second.weight.T + second.bias)
        torch.testing.assert_close(net.train()(x), twice.relu() @ last.weight.T + last.bias)
        plain = Width(0.5).build(MLP)
        plain.load_state_dict(net.state_dict())
        assert torch.equal(net.eval()(x), plain.train()(x))
        assert not torch.allclose(net.train()(x), plain(x), rtol=0.1)


def test_a_slice_sees_activations_of_the_magnitude_that_the_full_net_sees():
    """Which is what the scaler is for: sums of a quarter of the inputs are a quarter as large, of one sign at least."""
    spec = spec_of("mlp", (6,), 64, 0, hidden=(256, 256))
    full, x = spec.build(), torch.rand(64, 6)
    with torch.no_grad():
        for parameter in full.parameters():
            parameter.abs_()
    arrays = [value.numpy() for value in full.state_dict().values()]
    means = {}
    for part in (Width(0.25), HeteroFL(0.25)):
        net = part.build(spec).train()
        taken = part.place(spec, arrays).take()
        net.load_state_dict(dict(zip(net.state_dict(), map(torch.from_numpy, taken), strict=True)))
        means[part.name] = float((net(x).mean() / full(x).mean()).detach())
    assert means["width"] == pytest.approx(1 / 16, rel=0.2)
    assert means["heterofl"] == pytest.approx(1.0, rel=0.2)


def test_the_factor_is_that_of_the_channels_there_are():
    """8 of 24 channels, not 0.4 of them; depthwise layers, recurrent layers and the last one are left alone."""
    net = HeteroFL(0.4).build(spec_of("mlp", (6,), 3, 0, hidden=(3,)))
    assert [hook.factor for layer in net for hook in layer._forward_hooks.values()] == [3.0]
    separable = HeteroFL(0.5).build(spec_of("ds-cnn", (1, 49, 10), 12, 0))
    scaled = [layer for layer in separable if layer._forward_hooks]
    assert len(scaled) == 5
    assert all(layer.groups == 1 for layer in scaled)
    letters = HeteroFL(0.5).build(spec_of("char-lstm", (6,), 9, 1, units=8))
    assert {name for name, layer in letters.named_modules() if layer._forward_hooks} == {"embedding"}
    assert outputs_of(torch.nn.ReLU()) == 0
    assert not any(layer._forward_hooks for layer in HeteroFL(1.0).build(MLP).modules())


def trained(part, spec, mode, clients=3):
    data = stream(2, "rows")
    x = data.normal(size=(40, *spec.input_shape)).astype(np.float32)
    y = data.integers(spec.num_classes, size=40)
    arrays = [value.numpy().copy() for value in part.build(spec).state_dict().values()]
    jobs = [ClientJob(np.arange(10 * k, 10 * k + 10), k) for k in range(clients)]
    trainer = Trainer(part.build(spec), mode=mode)
    trainer.evaluate(arrays, x, y)
    return trainer.train(arrays, jobs, x, y, LocalConfig(epochs=2, batch_size=4, lr=0.1))


def test_clients_side_by_side_are_scaled_as_those_one_by_one():
    """Also after a test, which switches the module; and a net with hooks is not compiled into one without."""
    one, side = (trained(HeteroFL(0.5), MLP, mode) for mode in ("sequential", "batched"))
    for a, b in zip(one.arrays, side.arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    plain = trained(Width(0.5), MLP, "batched")
    assert any(not np.allclose(a, b, atol=1e-3) for a, b in zip(plain.arrays, side.arrays, strict=True))


SCENARIO = """
name: hetero
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
  rounds: 8
  clients_per_round: 6
  mode: sequential
  local: {epochs: 2, batch_size: 16, lr: 0.05}
clients:
  - for: {profile: pi-4b}
    plan: {structure: {name: heterofl, share: SHARE}}
  - for: any
    plan: {structure: {name: heterofl, share: 1.0}}
"""


def final(tmp_path, text):
    done = run(parse_scenario(text), out=tmp_path / str(len(list(tmp_path.iterdir()))), settings=Settings("local"))
    return done, RunDirectory(done.path).read_model()


def test_full_width_clients_are_federated_averaging_bit_for_bit(tmp_path):
    _, scaled = final(tmp_path, SCENARIO.replace("SHARE", "1.0"))
    _, plain = final(tmp_path, SCENARIO.partition("clients:\n")[0])
    assert list(scaled) == list(plain)
    assert all(np.array_equal(scaled[name], plain[name]) for name in plain)


def test_whole_nets_written_as_slices_beside_plain_ones_are_federated_averaging_too(tmp_path):
    first, any_, _ = SCENARIO.replace("SHARE", "1.0").partition("  - for: any\n")
    _, mixed = final(tmp_path, f"{first}{any_}    plan: full\n")
    _, plain = final(tmp_path, SCENARIO.partition("clients:\n")[0])
    assert all(np.array_equal(mixed[name], plain[name]) for name in plain)


def test_a_fleet_of_two_widths_learns(tmp_path):
    done, _ = final(tmp_path, SCENARIO.replace("SHARE", "0.25"))
    assert done.rounds["accuracy"][-1] > 0.85
    assert set(done.clients["plan"]) == {"width 0.25, scaled", "full"}


STATIC = spec_of("resnet8", (3, 16, 16), 5, 1, norm="static")


def calibration(rows=64):
    x = stream(1, "rows").normal(1.0, 2.0, size=(rows, 3, 16, 16)).astype(np.float32)
    return Calibration(x, lambda _: 0.0, stream(0, "none"))


def test_static_normalisation_has_nothing_but_slopes_and_biases_to_average():
    batch = spec_of("resnet8", (3, 16, 16), 5, 1, norm="batch").build()
    own = STATIC.build()
    assert set(own.state_dict()) == dict(own.named_parameters()).keys() == dict(batch.named_parameters()).keys()
    with pytest.raises(FedliteError, match="each batch is normalised by its own statistics"):
        trained(Width(1.0), STATIC, "batched")
    assert trained(Width(1.0), STATIC, "auto").mode == "sequential"


def test_statistics_are_those_of_the_rows_and_the_model_then_answers_row_by_row():
    rows, net = calibration(), STATIC.build().eval()
    made = BatchStatistics(64).deliver(Artefact.of(net), rows)
    x = torch.from_numpy(rows.x)
    first = copy.deepcopy(net[0])(x)
    layer = made.net[1]
    torch.testing.assert_close(layer.running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(layer.running_var, first.transpose(0, 1).flatten(1).var(1))
    with torch.no_grad():
        together, alone = made.net(x), torch.cat([made.net(row[None]) for row in x])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
        # Up to n / (n - 1) of the variances, what the trained net says of the same batch; not of a row by itself.
        torch.testing.assert_close(together, net(x), rtol=0.05, atol=0.05)
        assert not torch.allclose(net(x[:1]), together[:1], atol=0.1)
    assert (made.forward_samples, made.facts["statistics_of_rows"]) == (64, 64)


def test_a_net_that_has_statistics_already_needs_none():
    net = spec_of("resnet8", (3, 16, 16), 5, 1, norm="batch").build()
    with pytest.raises(
        PartError, match=r"batch-statistics: got a net without static batch normalisation .*1 \(BatchNorm2d\)"
    ):
        BatchStatistics().deliver(Artefact.of(net), calibration(4))
    with pytest.raises(PartError, match="rows: got 1, expected 2 or more"):
        BatchStatistics(1)
