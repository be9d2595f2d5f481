"""Noise that grows with the logarithm of the rounds: tree aggregation, for fleets whose sampling nobody can vouch for.

Round t publishes the sum of all updates so far; its noise is the sum of one Gaussian per node of the binary tree that
covers rounds 1 to t, so that an owner who takes part once in a tree of T rounds is in `floor(log2 T) + 1` nodes. No
amplification is needed, hence none is broken: only that nobody takes part twice in one tree, which the server sees to.

References
----------
Kairouz, McMahan, Song, Thakkar, Thakurta, Xu 2021, "Practical and private (deep) learning without sampling or
shuffling", section 4 and appendix B. Honaker 2015 (the tree). Denisov et al. 2022 (Gaussian continual release under
adaptive choices).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def depth(rounds: int) -> int:
    """Return in how many nodes of a tree of so many rounds, one or more, each round is."""
    return rounds.bit_length()


def combined_noise(noise_multiplier: float, lengths: Sequence[int]) -> float:
    """Return the noise multiplier of one Gaussian release that is worth as much as trees of these lengths.

    One owner takes part at most once in each. The nodes of a tree are one Gaussian mechanism of sensitivity
    `sqrt(depth)`, and trees compose as Gaussian mechanisms do.
    """
    return noise_multiplier / math.sqrt(sum(depth(length) for length in lengths))


def lengths_of(rounds: int, longest: int) -> list[int]:
    """Return the lengths of trees of at most `longest` rounds that so many rounds make."""
    whole, rest = divmod(rounds, longest)
    return [longest] * whole + [rest] * (rest > 0)


def step_noise(seed: int, tree: int, round_: int, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float64]]:
    """Return what round `round_` (from 1) of a tree adds to the noise of the round before: unit Gaussians of nodes.

    Each node's noise is a pure function of (seed, tree, node): nothing is kept between rounds.
    """
    now, before = set(_nodes(round_)), set(_nodes(round_ - 1))
    total = [np.zeros(shape) for shape in shapes]
    for sign, nodes in ((1.0, sorted(now - before)), (-1.0, sorted(before - now))):
        for level, place in nodes:
            rng = stream(seed, "privacy/tree", tree, level, place)
            total = [part + sign * rng.normal(size=part.shape) for part in total]
    return total


def _nodes(round_: int) -> list[tuple[int, int]]:
    """Return the nodes (level, place) that together cover rounds 1 to `round_`: one per bit."""
    found, covered = [], 0
    for level in reversed(range(round_.bit_length())):
        if round_ >> level & 1:
            found.append((level, covered >> level))
            covered += 1 << level
    return found
