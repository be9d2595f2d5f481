"""Which measurements of a group calibrate it: a fixed, documented order, so that nobody picks anchors by their result.

Inference: a MobileNetV1-like net first, then a ResNet-18-like, then a MobileNetV3-like one (the three anchors of
`docs/device-model.md`), then the net of median size among the rest, again and again. Training: the largest batch up to
16, then the smallest batch, then the one in the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFERRED = (("mobilenetv1", "mobilenet"), ("resnet18", "resnet8"), ("mobilenetv3large", "mobilenetv3", "dscnn"))
"""Normalised names (or beginnings of names) by rank."""

LARGEST_ANCHOR_BATCH = 16


def inference_order(names: Sequence[str], sizes: Sequence[float]) -> list[int]:
    """Return the positions of the measurements in anchor order.

    Parameters
    ----------
    names : sequence of str
        Normalised network names (`published.normalised`).
    sizes : sequence of float
        Expected relative costs, to find the median net.
    """
    left = list(range(len(names)))
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
