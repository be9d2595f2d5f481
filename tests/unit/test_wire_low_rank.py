"""Factors of matrices, against the singular value decomposition."""

import numpy as np
import pytest

from fedlite.rng import stream
from fedlite.wire import CodecError, decode, encode, inspect, parse_codec
from fedlite.wire.low_rank import orthonormal, rank_of, step


def matrix(rows, columns, rank=None, decay=0.7):
    rng = stream(1, "matrix", rows, columns)
    left, _ = np.linalg.qr(rng.normal(size=(rows, min(rows, columns))))
    right, _ = np.linalg.qr(rng.normal(size=(columns, min(rows, columns))))
    sizes = decay ** np.arange(left.shape[1])
    sizes[left.shape[1] if rank is None else rank :] = 0
    return (left * sizes) @ right.T


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 3, 5, 5)])
def test_a_matrix_of_that_rank_comes_back_exactly(shape):
    whole = matrix(shape[0], int(np.prod(shape[1:])), rank=3).reshape(shape).astype(np.float32)
    for rank in (3, 4):
        received = decode(encode([whole], (f"lowrank:{rank}",)))[0]
        np.testing.assert_allclose(received, whole, atol=1e-6 * np.abs(whole).max())
    assert np.abs(decode(encode([whole], ("lowrank:2",)))[0] - whole).max() > 0.1 * np.abs(whole).max()


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_any_other_comes_within_two_percent_of_the_best(rank):
    whole = matrix(40, 60).astype(np.float32)
    left = decode(encode([whole], (f"lowrank:{rank}",)))[0] - whole
    best = np.linalg.norm(np.linalg.svd(whole.astype(np.float64))[1][rank:])
    assert best * (1 - 1e-6) <= np.linalg.norm(left) <= 1.02 * best


def test_length_is_that_of_the_factors_and_small_tensors_go_as_they_are():
    arrays = [np.ones((50, 4, 5), np.float32), np.arange(7, dtype=np.float32), np.eye(3, dtype=np.float32)]
    packet = encode([*arrays, np.float32(3) * np.ones(())], ("lowrank:2",))
    assert inspect(packet).body_bytes == 4 * (2 * (50 + 20) + 7 + 9 + 1)
    for got, was in zip(decode(packet), arrays, strict=False):
        np.testing.assert_allclose(got, was, atol=1e-6)


@pytest.mark.parametrize(("shape", "rank"), [((5,), 0), ((), 0), ((4, 4), 0), ((5, 4), 2), ((100, 3), 2), ((1, 50), 0)])
def test_the_rank_is_what_makes_it_smaller(shape, rank):
    assert rank_of(shape, 2) == rank


def test_a_step_projects_and_dependent_columns_vanish():
    whole = matrix(12, 9)
    left, right = step(whole, stream(2, "start").normal(size=(9, 3)))
    np.testing.assert_allclose(left.T @ left, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(left @ right.T, left @ left.T @ whole, atol=1e-12)
    columns = orthonormal(np.array([[1.0, 2, 0, 1], [1, 2, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(np.abs(columns).sum(axis=0) > 0, [True, False, False, True])


def test_the_largest_floats_come_back():
    whole = np.outer(np.ones(30), np.linspace(-1, 1, 20)).astype(np.float32) * np.float32(3.4e38)
    np.testing.assert_allclose(decode(encode([whole], ("lowrank:1",)))[0], whole, rtol=1e-5)


def test_behind_a_sparsifier_there_are_no_matrices():
    with pytest.raises(CodecError, match=r"got 'topk:0.1' before 'lowrank:2', which is made for whole tensors; leave"):
        parse_codec(["topk:0.1", "lowrank:2"])
    with pytest.raises(CodecError, match=r"got rank '0', expected a whole number from 1 to 1024"):
        parse_codec(["lowrank:0"])
