"""Chunks: every job once, in order, in pieces that depend on the work alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlite.engine.chunks import (
    CHUNK_MACS,
    FEWEST_CLIENTS,
    MOST_CHUNKS,
    MOST_CLIENTS,
    cut,
)

SIZES = st.lists(st.integers(0, 700), max_size=4)


def groups_of(sizes):
    ends = np.cumsum([0, *sizes])
    return [np.arange(begin, end)[::-1].copy() for begin, end in pairwise(ends.tolist())]


@given(SIZES, st.data())
def test_every_job_is_in_one_chunk_in_the_order_of_its_group(sizes, data):
    groups = groups_of(sizes)
    macs = data.draw(st.one_of(st.none(), st.tuples(*[st.floats(0, 1e12) for _ in groups])))
    chunks = cut(groups, macs)
    assert np.concatenate([np.zeros(0, int), *chunks]).tolist() == [job for group in groups for job in group.tolist()]
    owner = {job: number for number, group in enumerate(groups) for job in group.tolist()}
    for chunk in chunks:
        assert 0 < len(chunk) <= MOST_CLIENTS
        assert len({owner[job] for job in chunk.tolist()}) == 1


@given(st.integers(1, 3000), st.floats(0, 1e12))
def test_the_number_of_chunks_keeps_its_bounds_and_their_lengths_differ_by_one_at_most(size, work):
    chunks = cut(groups_of([size]), [work])
    lengths = [len(chunk) for chunk in chunks]
    assert max(lengths) - min(lengths) <= 1
    least = -(-size // MOST_CLIENTS)
    assert least <= len(chunks) <= max(MOST_CHUNKS, least)
    if len(chunks) > max(least, 1):
        assert min(lengths) >= FEWEST_CLIENTS
        assert len(chunks).bit_count() == 1
        assert work >= len(chunks) * CHUNK_MACS


@pytest.mark.parametrize(
    ("size", "work", "lengths"),
    [
        (3, None, [3]),
        (2 * FEWEST_CLIENTS - 1, None, [9]),
        (2 * FEWEST_CLIENTS, None, [5, 5]),
        (19, None, [10, 9]),
        (20, None, [5] * 4),
        (20, 3.9 * CHUNK_MACS, [10, 10]),
        (20, 1.9 * CHUNK_MACS, [20]),
        (12, 0.0, [12]),
        (100, 0.0, [100]),
        (40, None, [5] * MOST_CHUNKS),
        (200, 0.0, [100] * 2),
        (0, None, []),
    ],
)
def test_cuts(size, work, lengths):
    assert [len(chunk) for chunk in cut(groups_of([size]), None if work is None else [work])] == lengths


def test_a_group_is_cut_the_same_whoever_stands_beside_it():
    first, second = groups_of([30, 17])
    alone = cut([first], [4 * CHUNK_MACS])
    beside = cut([first, second], [4 * CHUNK_MACS, 0.0])
    assert [chunk.tolist() for chunk in beside[: len(alone)]] == [chunk.tolist() for chunk in alone]
