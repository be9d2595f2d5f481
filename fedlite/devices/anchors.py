"""Which measurements of a group calibrate it: a fixed, documented order, so that nobody picks anchors by their result.

Inference: a MobileNetV1-like net first, then a ResNet-18-like, then a MobileNetV3-like one (the three anchors of
`docs/device-model.md`), then the net of median size among the rest, again and again; networks known by layers before
stand-ins, whose guessed work would be taken for the device's speed. Training: the largest batch up to
16, then the smallest batch, then the one in the middle. Recurrent training: whichever leaves the least open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.fitted import FittedPopulation

PREFERRED = (("mobilenetv1", "mobilenet"), ("resnet18", "resnet8"), ("mobilenetv3large", "mobilenetv3", "dscnn"))
"""Normalised names (or beginnings of names) by rank."""

LARGEST_ANCHOR_BATCH = 16


def inference_order(names: Sequence[str], sizes: Sequence[float], layered: Sequence[bool] = ()) -> list[int]:
    """Return the positions of the measurements in anchor order.

    Parameters
    ----------
    names : sequence of str
        Normalised network names (`published.normalised`).
    sizes : sequence of float
        Expected relative costs, to find the median net.
    layered : sequence of bool, optional
        Which are known by layers; all if not given.
    """
    known = [index for index in range(len(names)) if not layered or layered[index]]
    others = [index for index in range(len(names)) if index not in known]
    return _order(names, sizes, known) + _order(names, sizes, others)


def _order(names: Sequence[str], sizes: Sequence[float], candidates: Sequence[int]) -> list[int]:
    left = list(candidates)
    order: list[int] = []
    for rank in PREFERRED:
        chosen = _best(rank, names, sizes, left)
        if chosen is None and not order and left:
            chosen = _median(sizes, left)
        if chosen is not None:
            order.append(chosen)
            left.remove(chosen)
    while left:
        order.append(_median(sizes, left))
        left.remove(order[-1])
    return order


def _best(rank: tuple[str, ...], names: Sequence[str], sizes: Sequence[float], left: list[int]) -> int | None:
    for wanted in rank:
        exact = [index for index in left if names[index] == wanted]
        variants = [
            index
            for index in left
            if names[index].startswith(wanted)
            and not names[index].startswith(("mobilenetv2", "mobilenetv3small"))
            and (wanted != "mobilenet" or not names[index].startswith("mobilenetv3"))
        ]
        if exact or variants:
            # Of several widths and sizes the largest is the standard one.
            return max(exact or variants, key=lambda index: (names[index], sizes[index], -index))
    return None


def _median(sizes: Sequence[float], left: list[int]) -> int:
    ranked = sorted(left, key=lambda index: (sizes[index], index))
    return ranked[(len(ranked) - 1) // 2]


def batch_order(batches: Sequence[int]) -> list[int]:
    """Return the positions of the measurements of one training curve in anchor order."""
    left = sorted(range(len(batches)), key=lambda index: (batches[index], index))
    small = [index for index in left if batches[index] <= LARGEST_ANCHOR_BATCH]
    order = [(small or left)[-1]]
    left.remove(order[0])
    if left:
        order.append(left.pop(0))
    while left:
        order.append(left.pop((len(left) - 1) // 2))
    return order


def informative_order(population: FittedPopulation, terms: NDArray[np.float64], count: int) -> list[int]:
    """Return the positions of the `count` measurements that tell most of all others, by what is expected of them.

    Each next one is that after which the predictions of all rows have the least variance left; no measured value is
    looked at. The first is thus the row whose mixture of terms is nearest to everybody's.

    Parameters
    ----------
    population : FittedPopulation
    terms : ndarray of shape (n, K)
    count : int
        At most n are returned.
    """
    parts = terms * np.exp(population.expected_log_weights({}))
    design = np.column_stack([np.ones(len(terms)), parts / parts.sum(axis=1, keepdims=True)])
    covariance = np.diag(np.concatenate([[_UNTOLD_VARIANCE], population.weight_variance({})]))
    spread = design.T @ design
    order: list[int] = []
    while len(order) < min(count, len(terms)):
        towards = design @ covariance
        told = np.einsum("ij,jk,ik->i", towards, spread, towards)
        gains = told / (np.einsum("ij,ij->i", towards, design) + population.spread.noise**2)
        gains[order] = -np.inf
        best = int(np.argmax(gains))
        order.append(best)
        seen = towards[best]
        covariance = covariance - np.outer(seen, seen) / (float(design[best] @ seen) + population.spread.noise**2)
    return order


_UNTOLD_VARIANCE = 9.0
"""Of a device's log scalar before anything was measured on it."""
