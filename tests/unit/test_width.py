"""Width slices, and the mean over clients that hold different parts of a model."""

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.overlap import OverlapError, OverlapSum, is_whole, weighted_sums
from fedlite.compression.structure.width import WidthError, in_order, index_maps, take
from fedlite.rng import stream


class ConvNet(nn.Module):
    """Two convolutions and two dense layers; `flatten` turns channels into blocks that stay a prefix."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.dense = nn.Linear(2 * channels * 16, hidden)
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(torch.relu(self.dense(x.flatten(1))))


class Recurrent(nn.Module):
    """An embedding, a two-layer LSTM whose four gates are stacked in one dimension, and a head."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 20)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0][:, -1])

    def width_blocks(self):
        gates = {0: (self.hidden,) * 4}
        return {
            f"lstm.{kind}_{side}_l{layer}": gates
            for kind in ("weight", "bias")
            for side in ("ih", "hh")
            for layer in (0, 1)
        }


def fill(model, seed):
    rng = stream(seed, "weights")
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(0.3 * rng.normal(size=tuple(parameter.shape))))
    return model


def arrays_of(model):
    return [tensor.detach().numpy() for tensor in model.state_dict().values()]


def shapes_of(model):
    return [tuple(tensor.shape) for tensor in model.state_dict().values()]


def load(model, arrays):
    model.load_state_dict({name: torch.from_numpy(a) for name, a in zip(model.state_dict(), arrays, strict=True)})
    return model


def maps_of(full, sub):
    blocks = [
        in_order(list(m.state_dict()), m.width_blocks() if hasattr(m, "width_blocks") else {}) for m in (full, sub)
    ]
    return index_maps(shapes_of(full), shapes_of(sub), *blocks)


def zeroed(arrays, maps):
    """The full model with every coordinate outside the slice at zero."""
    out = [np.zeros_like(a) for a in arrays]
    for target, index, part in zip(out, maps, take(arrays, maps), strict=True):
        target[index] = part
    return out


@pytest.mark.parametrize("channels", [1, 3, 5, 6])
def test_a_sliced_convolutional_net_equals_the_dense_one_with_those_channels_zeroed(channels):
    full, sub = fill(ConvNet(6, 32), 1), ConvNet(channels, 4 * channels).double()
    maps = maps_of(full, sub)
    load(sub, take(arrays_of(full), maps))
    dense = load(ConvNet(6, 32).double(), zeroed(arrays_of(full), maps))
    x = torch.from_numpy(stream(2, "x").normal(size=(5, 1, 8, 8)))
    np.testing.assert_allclose(sub(x).detach().numpy(), dense(x).detach().numpy(), atol=1e-12)
    assert sum(p.numel() for p in sub.parameters()) == sum(a.size for a in take(arrays_of(full), maps))


@pytest.mark.parametrize("hidden", [1, 4, 7])
def test_a_sliced_lstm_equals_the_dense_one_with_those_units_zeroed(hidden):
    full, sub = fill(Recurrent(8), 1), Recurrent(hidden).double()
    maps = maps_of(full, sub)
    load(sub, take(arrays_of(full), maps))
    dense = load(Recurrent(8).double(), zeroed(arrays_of(full), maps))
    x = torch.from_numpy(stream(2, "text").integers(0, 20, (5, 9)))
    np.testing.assert_allclose(sub(x).detach().numpy(), dense(x).detach().numpy(), atol=1e-12)


def test_an_lstm_slice_without_gate_blocks_would_be_another_network():
    """The guard of the test above: a plain prefix mixes the gates."""
    full, sub = fill(Recurrent(8), 1), Recurrent(4).double()
    plain = index_maps(shapes_of(full), shapes_of(sub))
    dense = load(Recurrent(8).double(), zeroed(arrays_of(full), plain))
    load(sub, take(arrays_of(full), plain))
    x = torch.from_numpy(stream(2, "text").integers(0, 20, (5, 9)))
    assert np.abs(sub(x).detach().numpy() - dense(x).detach().numpy()).max() > 1e-3


def test_the_slices_of_one_model_are_nested():
    full = Recurrent(8)
    narrow, wide = (maps_of(full, Recurrent(hidden)) for hidden in (2, 5))
    for shape, small, large in zip(shapes_of(full), narrow, wide, strict=True):
        inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
        inside[small], outside[large] = True, True
        assert (outside | ~inside).all()


def test_blocks_on_two_dimensions_take_the_product():
    (index,) = index_maps([(4, 6)], [(2, 3)], [{0: (2, 2), 1: (2, 4)}], [{0: (1, 1), 1: (1, 2)}])
    assert np.arange(24).reshape(4, 6)[index].tolist() == [[0, 2, 3], [12, 14, 15]]


def test_a_block_that_keeps_nothing_and_a_scalar_are_fine():
    maps = index_maps([(4,), ()], [(2,), ()], [{0: (2, 2)}, {}], [{0: (0, 2)}, {}])
    assert [a.tolist() for a in take([np.arange(4), np.array(7)], maps)] == [[2, 3], 7]
    assert [is_whole(m) for m in maps] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([(2,)], []), "got 0 tensors, expected the full model's 1"),
        (([(2, 2)], [(2,)]), "tensor 0: got shape .* expected 2 dimensions"),
        (([(2,)], [(3,)]), "tensor 0, dimension 0: .* cannot be wider"),
        (([(4,)], [(2,)], [{0: (2, 3)}], None), "expected sizes that add up to 4"),
        (([(4,)], [(2,)], [{0: (2, 2)}], None), "expected 2 blocks no larger than"),
        (([(4,)], [(4,)], [{0: (1, 3)}], [{0: (3, 1)}]), "no larger than"),
    ],
)
def test_models_that_are_no_slice_are_refused(arguments, message):
    with pytest.raises(WidthError, match=message):
        index_maps(*arguments)


def test_blocks_of_a_tensor_that_does_not_exist_are_refused():
    with pytest.raises(WidthError, match=r"got 'lstm\.weight', expected a tensor of the model: a, b"):
        in_order(["a", "b"], {"lstm.weight": {0: (1, 1)}})


# --- aggregation -----------------------------------------------------------------------------------------------------

SHAPES = [(6, 5), (6,), (3, 6), (3,), ()]
NARROW = [(3, 5), (3,), (3, 3), (3,), ()]


def clients(count, shapes, seed=0):
    rng = stream(seed, "clients", count)
    return [rng.normal(size=(count, *shape)).astype(np.float32) for shape in shapes]


def old(shapes=SHAPES):
    return [np.full(shape, 9.0, np.float32) for shape in shapes]


def add_stacked(overlap, stacked, weights, maps=None):
    """Add K clients as a worker sends them: their weighted sum and the sum of their weights, in order."""
    overlap.add(weighted_sums(stacked, weights), float(sum(weights.tolist())), maps)


def add_one(overlap, arrays, weight, maps=None):
    overlap.add([weight * array.astype(np.float64) for array in arrays], weight, maps)


def weighted_mean(stacked, weights):
    """Federated averaging, client after client, in float64."""
    total = np.zeros(stacked.shape[1:])
    for values, weight in zip(stacked, weights, strict=True):
        total = total + values.astype(np.float64) * weight
    mass = 0.0
    for weight in weights:
        mass = mass + weight
    return (total / mass).astype(stacked.dtype)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_full_width_clients_give_federated_averaging_bit_for_bit(count):
    stacked, weights = clients(count, SHAPES), stream(1, "w").random(count)
    overlap = OverlapSum(SHAPES)
    add_stacked(overlap, stacked, weights)
    for got, values in zip(overlap.finish(old()), stacked, strict=True):
        assert got.tobytes() == weighted_mean(values, weights).tobytes()


@pytest.mark.parametrize("before", [False, True], ids=["alone", "after others"])
@pytest.mark.parametrize("with_maps", [False, True])
def test_one_by_one_and_stacked_are_the_same(with_maps, before):
    """The same bits from the beginning; after other clients the sums are grouped otherwise."""
    maps = index_maps(SHAPES, NARROW) if with_maps else None
    stacked, weights = clients(25, NARROW if with_maps else SHAPES), stream(1, "w").random(25)
    together, single = OverlapSum(SHAPES), OverlapSum(SHAPES)
    for overlap in (together, single) if before else ():
        add_stacked(overlap, clients(3, SHAPES, seed=5), np.array([0.1, 0.2, 0.7]))
    add_stacked(together, stacked, weights, maps)
    for k in range(25):
        add_one(single, [values[k] for values in stacked], float(weights[k]), maps)
    for a, b in zip(together.sums + together.weights, single.sums + single.weights, strict=True):
        if before:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        else:
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_cutting_a_large_stack_into_rows_changes_no_bit(monkeypatch):
    stacked, weights = clients(11, SHAPES), stream(1, "w").random(11)
    results = []
    for limit in (10**9, 40, 1):
        monkeypatch.setattr("fedlite.compression.overlap._ELEMENTS_AT_ONCE", limit)
        overlap = OverlapSum(SHAPES)
        add_stacked(overlap, stacked, weights)
        results.append(b"".join(a.tobytes() for a in overlap.finish(old())))
    assert results[0] == results[1] == results[2]


def test_the_memory_order_of_a_stack_changes_no_bit():
    stacked, weights = clients(30, SHAPES), stream(1, "w").random(30)
    plain, fortran = OverlapSum(SHAPES), OverlapSum(SHAPES)
    add_stacked(plain, stacked, weights)
    add_stacked(fortran, [np.asfortranarray(a) for a in stacked], weights)
    for a, b in zip(plain.sums, fortran.sums, strict=True):
        assert a.tobytes() == b.tobytes()


def test_chunks_add_up_in_their_order_whoever_made_them():
    stacked, weights = clients(12, SHAPES), stream(1, "w").random(12)
    narrow, maps = clients(4, NARROW, seed=3), index_maps(SHAPES, NARROW)

    def run():
        total = OverlapSum(SHAPES)
        for start in range(0, 12, 4):
            add_stacked(total, [a[start : start + 4] for a in stacked], weights[start : start + 4])
            if start == 4:
                add_stacked(total, narrow, np.ones(4), maps)
        return total.finish(old())

    whole = OverlapSum(SHAPES)
    add_stacked(whole, stacked, weights)
    add_stacked(whole, narrow, np.ones(4), maps)
    for a, b, c in zip(run(), run(), whole.finish(old()), strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(a, c, rtol=1e-6)


def test_each_coordinate_is_averaged_over_the_clients_that_hold_it():
    overlap = OverlapSum([(4,)])
    add_one(overlap, [np.array([1.0, 1, 1, 1], np.float32)], 1.0)
    add_one(overlap, [np.array([5.0, 7], np.float32)], 3.0, index_maps([(4,)], [(2,)]))
    assert overlap.finish([np.zeros(4, np.float32)])[0].tolist() == [4.0, 5.5, 1.0, 1.0]


def test_coordinates_that_nobody_holds_keep_their_value():
    overlap = OverlapSum(SHAPES)
    add_stacked(overlap, clients(5, NARROW), np.ones(5), index_maps(SHAPES, NARROW))
    result = overlap.finish(old())
    assert (result[0][3:] == 9).all()
    assert (result[1][3:] == 9).all()
    assert (result[2][:, 3:] == 9).all()
    assert (result[0][:3] != 9).all()
    assert (result[3] != 9).all()


def test_nobody_at_all_changes_nothing():
    empty = OverlapSum(SHAPES)
    add_stacked(empty, [a[:0] for a in clients(1, SHAPES)], np.zeros(0))
    for got, was in zip(empty.finish(old()), old(), strict=True):
        np.testing.assert_array_equal(got, was)


def test_weight_zero_counts_for_nothing():
    overlap = OverlapSum([(2,)])
    add_one(overlap, [np.array([1.0, 2], np.float32)], 2.0)
    add_one(overlap, [np.array([50.0, 50], np.float32)], 0.0)
    assert overlap.finish([np.zeros(2, np.float32)])[0].tolist() == [1.0, 2.0]


def test_integer_tensors_are_rounded_and_keep_their_type():
    overlap = OverlapSum([()])
    add_one(overlap, [np.array(10)], 1.0)
    add_one(overlap, [np.array(13)], 2.0)
    (result,) = overlap.finish([np.array(0)])
    assert (result.dtype, int(result)) == (np.dtype(np.int64), 12)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused(weight):
    with pytest.raises(OverlapError, match="expected a finite number of at least 0"):
        OverlapSum([(2,)]).add([np.ones(2)], weight)


def test_arrays_that_do_not_fit_are_refused():
    overlap = OverlapSum(SHAPES)
    with pytest.raises(OverlapError, match=r"shape \(3, 5\) for tensor 0, expected \(6, 5\).*pass the maps"):
        overlap.add([np.ones(shape) for shape in NARROW], 1.0)
    with pytest.raises(OverlapError, match="got 1 tensors, expected 5"):
        overlap.add([np.ones((6, 5))], 1.0)


def test_a_masked_coordinate_is_averaged_over_those_that_hold_it_and_is_zero_if_nobody_does():
    """Client A holds the first two of a slice of three, B the second alone; the fourth lies outside."""
    old_values, maps = [np.full(4, 9.0, np.float32)], index_maps([(4,)], [(3,)])
    total = OverlapSum([(4,)])
    total.add([np.array([1.0, 2.0, 5.0])], 1.0, maps, [np.array([1, 1, 0])])
    total.add([3.0 * np.array([7.0, 6.0, 8.0])], 3.0, maps, [np.array([0, 1, 0])])
    assert total.finish(old_values)[0].tolist() == [1.0, 5.0, 0.0, 9.0]
    assert total.finish(old_values, zero_masked=False)[0].tolist() == [1.0, 5.0, 9.0, 9.0]


def test_a_mask_on_one_tensor_leaves_the_others_whole():
    total = OverlapSum([(2,), (2,)])
    total.add([np.array([4.0, 4.0]), np.array([4.0, 4.0])], 2.0, None, [None, np.array([1, 0])])
    total.add([np.array([2.0, 4.0]), np.array([2.0, 4.0])], 1.0)
    first, second = total.finish([np.zeros(2), np.zeros(2)])
    assert first.tolist() == [2.0, pytest.approx(8 / 3)]
    assert second.tolist() == [2.0, 4.0]
