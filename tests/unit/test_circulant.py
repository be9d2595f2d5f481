"""Circulant layers: exact against the dense matrix, nearest of their form, and priced by what they multiply."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import circulant

from fedlite.compression.circulant import CirculantLinear, nearest_columns, written_out
from fedlite.compression.part import PartError
from fedlite.compression.structure.circulant import Circulant
from fedlite.devices.memory import tensor_bytes
from fedlite.learning.models.layers.circulant import CirculantLayers
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

SIDES = [(8, 8, 8), (16, 8, 8), (8, 24, 4), (10, 7, 5), (13, 21, 8), (6, 6, 5), (12, 12, 3)]
MLP = spec_of("mlp", (64,), 10, 3, hidden=(32,))


def slowly(columns, shape):
    """The dense matrix by scipy's circulants, block by block, cut to its shape."""
    dense = np.block([[circulant(column) for column in row] for row in columns])
    return dense[: shape[0], : shape[1]]


@pytest.mark.parametrize(("outputs", "inputs", "block"), SIDES)
def test_the_transforms_compute_what_the_dense_matrix_computes(outputs, inputs, block):
    layer = CirculantLinear(inputs, outputs, block).double()
    x = torch.randn(3, 2, inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    dense = torch.from_numpy(slowly(layer.columns.detach().numpy(), (outputs, inputs))).requires_grad_()
    wanted = x @ dense.T + layer.bias
    got = layer(x)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (got * weights).sum().backward()
    (wanted * weights).sum().backward()
    # The gradient of a number is the sum of those of the entries that it fills.
    index = written_out(np.arange(layer.columns.numel()).reshape(layer.columns.shape), (outputs, inputs))
    summed = np.bincount(index.ravel(), dense.grad.numpy().ravel(), layer.columns.numel())
    np.testing.assert_allclose(layer.columns.grad.numpy().ravel(), summed, rtol=1e-10, atol=1e-10)
    single = CirculantLinear(inputs, outputs, block)
    near = slowly(single.columns.detach().numpy(), (outputs, inputs))
    wanted = x.float().numpy() @ near.T + single.bias.detach().numpy()
    np.testing.assert_allclose(single(x.float()).detach().numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("outputs", "inputs", "block"), SIDES)
def test_the_means_of_the_diagonals_are_the_nearest_matrix(outputs, inputs, block):
    """Least squares over all block-circulant matrices, solved by numpy, gives the same matrix."""
    matrix = np.random.default_rng(3).normal(size=(outputs, inputs))
    columns = nearest_columns(matrix, block)
    size = columns.size
    basis = [written_out(unit.reshape(columns.shape), matrix.shape).ravel() for unit in np.eye(size)]
    best, *_ = np.linalg.lstsq(np.array(basis).T, matrix.ravel(), rcond=None)
    np.testing.assert_allclose(columns.ravel(), best, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(written_out(columns, matrix.shape), slowly(columns, matrix.shape))
    np.testing.assert_allclose(nearest_columns(written_out(columns, matrix.shape), block), columns, atol=1e-14)


def test_the_structure_has_a_number_for_each_diagonal_and_keeps_layers_without_room():
    net = Circulant(16).build(MLP)
    # 32 x 64 as 2 x 4 blocks; 10 x 32 has no room for blocks of 16.
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == {
        "1.columns": (2, 4, 16), "1.bias": (32,), "3.weight": (10, 32), "3.bias": (10,)
    }  # fmt: skip


def test_what_has_no_room_is_told_by_its_layer():
    with pytest.raises(
        PartError, match=r"^block: got 64, expected at most the shorter side of .*: 1 \(32\), 3 \(10\);"
    ):
        Circulant(64).build(MLP)
    with pytest.raises(PartError, match="the net has none"):
        CirculantLayers(4).replace(torch.nn.Sequential(torch.nn.ReLU()))
    for part in (Circulant, CirculantLayers):
        with pytest.raises(PartError, match=r"^block: got 1"):
            part(1)


def test_the_trace_prices_what_the_transforms_multiply():
    """A complex product is four real ones; transforms are n/2 log2 n butterflies, half for real signals."""
    dense, thin = (trace(net, (64,), name="net") for net in (MLP.build(), Circulant(16).build(MLP)))
    layers = {layer.name: layer.macs for layer in thin.layers if layer.macs}
    products = [macs for name, macs in layers.items() if name.startswith("1") and macs == 4 * 2 * 4 * 9]
    assert products, f"the products of 9 frequencies in 2 x 4 blocks, as real ones: {layers}"
    transforms = 64 * 4 + 2 * 4 * 16 * 4 + 32 * 4  # of the input, of the columns, and back: numbers x log2(16)
    assert sum(layers.values()) == products[0] + transforms + 320
    assert thin.params == 128 + 32 + 330
    assert dense.macs == 2048 + 320
    assert tensor_bytes(thin, 16) > 4 * thin.params


def test_it_learns_from_scratch_alone_and_side_by_side():
    net = ModelSpec(**{**vars(MLP), "layers": CirculantLayers(8)}).build()
    arrays = [value.numpy().copy() for value in net.state_dict().values()]
    draw = np.random.default_rng(4)
    x = draw.normal(size=(60, 64)).astype(np.float32)
    y = (x[:, :10] + x[:, 10:20]).argmax(axis=1)
    jobs = [ClientJob(np.arange(k, 60, 3), seed=k) for k in range(3)]
    config = LocalConfig(epochs=20, batch_size=10, lr=0.2)
    one, many = (Trainer(net, mode=mode).train(arrays, jobs, x, y, config) for mode in ("sequential", "batched"))
    assert (one.loss < 1.0).all()
    np.testing.assert_allclose(many.loss, one.loss, rtol=1e-3)
