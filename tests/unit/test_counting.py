"""Counted work of arbitrary torch code against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlite.devices.workload import OpClass
from fedlite.learning.counting import OpCounter, WorkCount
from fedlite.learning.models import build
from fedlite.learning.tracing import trace


def one_step(model, x, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    y = torch.zeros(x.shape[0], dtype=torch.int64)
    with OpCounter() as counter:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return counter.count


def test_a_step_of_a_perceptron_is_the_forward_pass_and_twice_it_but_for_the_inputs_gradient():
    count = one_step(build("mlp", input_shape=(64,), num_classes=10, seed=0), torch.zeros(8, 64))

    assert count.forward_macs == {OpClass.LINEAR: 8 * (64 * 64 + 64 * 10)}
    assert count.backward_macs == {OpClass.LINEAR: 8 * (64 * 64 + 2 * 64 * 10)}
    assert count.macs == {OpClass.LINEAR: 8 * (2 * 64 * 64 + 3 * 64 * 10)}
    assert count.optimizer_steps == 1


def test_a_step_of_a_convolutional_net_counts_each_class():
    count = one_step(build("cnn", input_shape=(1, 8, 8), num_classes=10, seed=0), torch.zeros(4, 1, 8, 8))
    first, second, linear = 64 * 32 * 9, 16 * 64 * 32 * 9, 256 * 128 + 128 * 10

    assert count.forward_macs == {OpClass.CONV3X3: 4 * (first + second), OpClass.LINEAR: 4 * linear}
    assert count.backward_macs == {OpClass.CONV3X3: 4 * (first + 2 * second), OpClass.LINEAR: 4 * 2 * linear}


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet8", (3, 16, 16)), ("ds-cnn", (1, 49, 10)), ("squeezenet1.1", (3, 33, 33)), ("char-lstm", (9,))],
)
def test_a_step_is_the_traced_forward_pass_and_twice_it_but_for_the_inputs_gradient(name, shape):
    model = build(name, input_shape=shape, num_classes=10, seed=0)
    traced = trace(model, shape, name=name)
    count = one_step(model, torch.zeros(3, *shape))
    # The first convolution needs no gradient of its input; the LSTM's input is the trained embedding.
    first = 0 if name == "char-lstm" else next(layer.macs for layer in traced.layers if layer.macs)

    assert count.forward_macs == {op: 3 * macs for op, macs in traced.macs_by_op().items() if macs}
    assert sum(count.backward_macs.values()) == 3 * (2 * traced.macs - first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_recurrent_layer_counts_the_same_fused_or_step_by_step(dtype):
    with OpCounter() as counter, torch.no_grad():
        nn.LSTM(5, 6, dtype=dtype)(torch.zeros(7, 2, 5, dtype=dtype))

    assert counter.count.macs == {OpClass.RECURRENT: 7 * 2 * 4 * 6 * (5 + 6)}


def test_inference_mode_counts_the_same_as_no_grad():
    model = build("cnn", input_shape=(1, 8, 8), num_classes=10, seed=0)
    counts = []
    for mode in (torch.no_grad, torch.inference_mode):
        with OpCounter() as counter, mode():
            model(torch.zeros(2, 1, 8, 8))
        counts.append(counter.count.macs)

    assert counts[0] == counts[1]
    assert sum(counts[0].values()) == 2 * 347_392


@pytest.mark.parametrize("batched", [torch.bmm, torch.matmul])
def test_batched_products_count_every_batch(batched):
    with OpCounter() as counter:
        batched(torch.zeros(5, 2, 3), torch.zeros(5, 3, 4))

    assert counter.count.macs == {OpClass.LINEAR: 5 * 2 * 3 * 4}


def test_stacked_client_parameters_count_as_their_product():
    with OpCounter() as counter:
        torch.baddbmm(torch.zeros(5, 1, 4), torch.zeros(5, 2, 3), torch.zeros(5, 3, 4))

    assert counter.count.macs == {OpClass.LINEAR: 5 * 2 * 3 * 4}


def test_a_transposed_convolution_meets_every_input_position():
    with OpCounter() as counter, torch.no_grad():
        nn.ConvTranspose2d(4, 2, 3, stride=2)(torch.zeros(1, 4, 5, 5))

    assert counter.count.total_macs == 25 * 4 * 2 * 9


def test_fourier_transforms_count_their_butterflies():
    with OpCounter() as counter:
        torch.fft.irfft(torch.fft.rfft(torch.zeros(3, 64)))

    # Per transform 32 x 6 butterflies of one complex product, halved for real signals.
    assert counter.count.total_macs == 2 * 3 * (32 * 6 * 4) // 2


def test_elementwise_work_is_bytes_read_and_written():
    x, y = torch.zeros(100), torch.zeros(100)
    with OpCounter() as counter:
        z = x + y
        z.mul_(2.0)
        z.view(10, 10)
    count = counter.count

    assert count.bytes_moved == count.elementwise_bytes == (300 + 200) * 4
    assert count.ops == 2
    assert count.total_macs == 0


def test_a_look_up_moves_its_rows_and_not_the_table():
    table = torch.zeros(10_000, 8)
    with OpCounter() as counter:
        nn.functional.embedding(torch.tensor([1, 2, 3]), table)

    assert counter.count.bytes_moved == 3 * 8 + 2 * 3 * 8 * 4


def test_an_optimiser_moves_its_state():
    model = nn.Linear(10, 10, bias=False)
    model.weight.grad = torch.ones(10, 10)
    moved = {}
    for foreach in (False, True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=foreach)
        with OpCounter() as counter:
            optimizer.step()
        moved[foreach] = counter.count.elementwise_bytes

    assert moved[False] == moved[True] == 3 * 100 * 4


def test_peak_memory_is_the_most_alive_at_once():
    with OpCounter() as counter:
        for _ in range(5):
            a = torch.zeros(1000) + 1.0
            del a
        b = [torch.zeros(1000) for _ in range(3)]

    assert counter.count.peak_bytes == 3 * 4000
    assert len(b) == 3


def test_peak_memory_covers_weights_gradients_momentum_and_activations():
    model = build("mlp", input_shape=(64,), num_classes=10, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = torch.zeros(8, 64)
    with OpCounter() as counter:
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), torch.zeros(8, dtype=torch.int64)).backward()
            optimizer.step()
    state = 3 * 4 * 4_810

    assert state <= counter.count.peak_bytes <= 1.2 * state


def test_data_made_elsewhere_is_not_the_clients_memory():
    data = torch.zeros(100_000)
    with OpCounter() as counter:
        _ = data[:10] * 2.0

    assert counter.count.peak_bytes == 40


def test_counting_twice_gives_the_same_and_counts_add_up():
    first, second = (
        one_step(build("cnn", input_shape=(1, 8, 8), num_classes=10, seed=0), torch.zeros(2, 1, 8, 8)) for _ in range(2)
    )
    both = first + second

    assert first == second
    assert both.total_macs == 2 * first.total_macs
    assert both.bytes_moved == 2 * first.bytes_moved
    assert both.optimizer_steps == 2
    assert both.peak_bytes == first.peak_bytes
    assert first + WorkCount() == first


def test_work_after_the_block_is_not_counted():
    with OpCounter() as counter:
        torch.ones(3).sum()
    before = counter.count
    torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1).step()

    assert counter.count == before


def test_functional_gradients_count_as_backward_work():
    weight = torch.ones(4, 3)
    with OpCounter() as counter:
        torch.func.grad(lambda w: (torch.ones(5, 4) @ w).sum())(weight)

    assert counter.count.forward_macs == {OpClass.LINEAR: 60}
    assert counter.count.backward_macs == {OpClass.LINEAR: 60}
