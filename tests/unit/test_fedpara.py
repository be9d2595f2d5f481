"""FedPara: counts in closed form, full rank out of small factors, plain layers that compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.part import PartError
from fedlite.learning.models.layers.fedpara import FedPara, FedParaLayer, parameters_of, rank_of
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

CNN = spec_of("cnn", (1, 16, 16), 10, 3, channels=(32, 64), hidden=64)


def layers():
    return [
        nn.Linear(256, 256),
        nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False),
        nn.Conv1d(48, 64, 5, dilation=2),
    ]


def test_the_papers_example_has_its_counts():
    """Hyeon-Woo et al., table 1, R = 16: 16 K for a matrix of 256 x 256, 21 K for kernels of 3 x 3."""
    assert parameters_of((256, 256), 16) == 16_384
    assert rank_of((256, 256), 0.0) == 16
    assert parameters_of((256, 256, 3, 3), 16) == 2 * 16 * (256 + 256 + 16 * 9) == 20_992


@pytest.mark.parametrize("index", range(3))
def test_weights_are_the_product_of_both_halves_and_merge_into_a_plain_layer(index):
    base = layers()[index]
    rank = rank_of(tuple(base.weight.shape), 0.3)
    layer = FedParaLayer(base, rank)
    halves = []
    for half in ("1", "2"):
        x, y = (getattr(layer, name + half).detach().numpy().astype(np.float64) for name in "xy")
        t = getattr(layer, f"t{half}", None)
        core = np.eye(rank) if t is None else t.detach().numpy().reshape(rank, rank, -1)
        core = core.reshape(rank, rank, -1)
        halves.append(np.stack([x @ core[:, :, k] @ y.T for k in range(core.shape[2])], axis=-1))
    wanted = (halves[0] * halves[1]).reshape(base.weight.shape)
    np.testing.assert_allclose(layer.weight().detach().numpy(), wanted, rtol=1e-4, atol=1e-6)
    assert wanted.std() == pytest.approx(base.weight.std().item(), rel=0.5), "spread as the plain layer's"
    x = torch.randn(2, *((256,), (64, 9, 9), (48, 30))[index])
    torch.testing.assert_close(layer.merged()(x), layer(x), rtol=1e-5, atol=1e-5)
    assert layer(x).shape == base(x).shape
    factors = sum(p.numel() for name, p in layer.named_parameters() if name != "bias")
    assert factors == parameters_of(tuple(base.weight.shape), rank) < base.weight.numel()


def test_the_product_has_full_rank_where_one_half_has_not():
    layer = FedParaLayer(nn.Linear(64, 64), rank_of((64, 64), 0.0))
    assert layer.x1.shape == (64, 8)
    assert np.linalg.matrix_rank((layer.x1 @ layer.y1.t()).detach().double().numpy(), tol=1e-5) == 8
    assert np.linalg.matrix_rank(layer.weight().detach().double().numpy(), tol=1e-6) == 64


def test_only_what_gets_smaller_is_replaced_and_refusals_name_the_layers():
    net = ModelSpec(**{**vars(CNN), "layers": FedPara(0.1)}).build()
    kinds = {name: isinstance(module, FedParaLayer) for name, module in net.named_modules() if name}
    assert kinds["3"]
    assert kinds["7"]
    assert not kinds["0"], "9 numbers per filter"
    assert kinds["9"], "10 x 64 at rank 4: 592 of 640"
    assert sum(p.numel() for p in net.parameters()) < 0.5 * sum(p.numel() for p in CNN.build().parameters())
    with pytest.raises(PartError, match="got 0, of which none gets smaller"):
        FedPara().replace(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(PartError, match=r"^share: got 1\.5"):
        FedPara(1.5)


def test_it_learns_alone_and_side_by_side_and_merges_after_it():
    part = FedPara(0.2)
    spec = ModelSpec("mlp", (64,), 10, 3, params=(("hidden", (64,)),), layers=part)
    net = spec.build()
    arrays = [value.numpy().copy() for value in net.state_dict().values()]
    draw = np.random.default_rng(4)
    x = draw.normal(size=(60, 64)).astype(np.float32)
    y = x[:, :10].argmax(axis=1)
    jobs = [ClientJob(np.arange(k, 60, 3), seed=k) for k in range(3)]
    config = LocalConfig(epochs=20, batch_size=10, lr=0.1)
    one, many = (Trainer(net, mode=mode).train(arrays, jobs, x, y, config) for mode in ("sequential", "batched"))
    assert (one.loss < 1.5).all()
    np.testing.assert_allclose(many.loss, one.loss, rtol=1e-2)
    net.load_state_dict({key: torch.from_numpy(a[0]) for key, a in zip(net.state_dict(), one.arrays, strict=True)})
    wanted = net(torch.from_numpy(x)).detach()
    merged = part.merged(net)
    assert list(merged.state_dict()) == list(ModelSpec(**{**vars(spec), "layers": None}).build().state_dict())
    torch.testing.assert_close(merged(torch.from_numpy(x)), wanted, rtol=1e-4, atol=1e-5)
