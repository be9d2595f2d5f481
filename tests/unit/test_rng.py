import numpy as np

from fedlite import rng


def test_streams_depend_on_every_key_and_its_type():
    draws = {rng.stream(*keys).integers(2**60) for keys in [(1, "a"), (2, "a"), (1, "b"), (1, "a", 1), (1, "a", "1")]}
    assert len(draws) == 5


def test_the_same_stream_gives_the_same_numbers():
    assert rng.stream(7, "x", 3).random(4).tolist() == rng.stream(7, "x", 3).random(4).tolist()


def test_pure_draws_do_not_depend_on_who_else_is_asked():
    everyone = rng.uniform(5, "habit", np.arange(1000), 3)
    some = rng.uniform(5, "habit", np.array([999, 0, 500]), 3)
    assert some.tolist() == everyone[[999, 0, 500]].tolist()


def test_uniform_draws_are_uniform_and_uncorrelated_between_counters():
    first, second = (rng.uniform(1, "u", np.arange(200_000), counter) for counter in (0, 1))
    assert first.min() >= 0
    assert first.max() < 1
    assert abs(first.mean() - 0.5) < 0.003
    assert abs(first.var() - 1 / 12) < 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01


def test_normal_draws_have_unit_variance():
    draws = rng.normal(1, "n", np.arange(200_000))
    assert abs(draws.mean()) < 0.01
    assert abs(draws.std() - 1) < 0.01


def test_many_seeds_are_those_of_each_name():
    names = ["1-1", "1-2", "", "ü"]
    seeds = rng.seeds_of(7, "train", 3, names=names)
    assert seeds.dtype == np.uint64
    assert seeds.tolist() == [rng.seed_of(7, "train", 3, name) for name in names]
    assert rng.seeds_of(7, "train", names=[]).shape == (0,)


def test_many_streams_at_once_give_what_each_gives_alone():
    owners, counters = np.arange(50), np.arange(50) % 7
    purposes = ("rain", "snow")
    seeds = np.array([rng.normal_seeds(9, purpose) for purpose in purposes], dtype=np.uint64)
    many = rng.normals(seeds.T[:, :, None], owners, counters)
    for purpose, numbers in zip(purposes, many, strict=True):
        assert np.array_equal(numbers, rng.normal(9, purpose, owners, counters))
    names = np.array([rng.seed_of(9, purpose) for purpose in purposes], dtype=np.uint64)
    mixed = rng.uniforms(names[owners % 2], owners, counters)
    for place, purpose in enumerate(purposes):
        mine = owners % 2 == place
        assert np.array_equal(mixed[mine], rng.uniform(9, purpose, owners[mine], counters[mine]))
