"""Mean average precision: how surely a net finds objects of each class where they are.

References
----------
Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge", section 4.2: a detection is right if it is
the surest that overlaps an object of its class by half or more; further ones of the same object are wrong. The area
under the curve of precision, made monotone, as the challenge measures it since 2010 (not at eleven points).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.detection.boxes import overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def mean_average_precision(detections: Array, stays: NDArray[np.bool_], objects: Array, least: float = 0.5) -> float:
    """Return the mean over the classes that have objects, arguments as below; NaN without any object."""
    each = average_precisions(detections, stays, objects, least)
    return float(np.mean(list(each.values()))) if each else float("nan")


def average_precisions(
    detections: Array, stays: NDArray[np.bool_], objects: Array, least: float = 0.5
) -> dict[int, float]:
    """Return the average precision of each class that has objects, by its number.

    Parameters
    ----------
    detections : array (N, n, 6)
        Confidence, class, box, of n detections in each of N pictures.
    stays : array (N, n)
        Which of them count.
    objects : array (N, m, 6)
        What there is, in the same form; entries of confidence 0 are none.
    least : float
        Intersection over union from which an object is found.
    """
    pictures, columns = np.nonzero(stays)
    told = detections[pictures, columns]
    where, which = np.nonzero(objects[..., 0] > 0)
    there = objects[where, which]
    return {
        int(kind): _average_precision(
            told[told[:, 1] == kind], pictures[told[:, 1] == kind],
            there[there[:, 1] == kind], where[there[:, 1] == kind], least,
        )
        for kind in np.unique(there[:, 1])
    }  # fmt: skip


def _average_precision(told: Array, pictures: Array, there: Array, where: Array, least: float) -> float:
    """Return the area under precision over recall of one class; `pictures` and `where` say in which picture each is."""
    order = np.argsort(-told[:, 0], kind="stable")
    of_picture: dict[int, list[int]] = {}
    for number, picture in enumerate(where.tolist()):
        of_picture.setdefault(picture, []).append(number)
    found = np.zeros(len(there), dtype=bool)
    right = np.zeros(len(order), dtype=bool)
    for rank, number in enumerate(order.tolist()):
        candidates = of_picture.get(int(pictures[number]), [])
        if not candidates:
            continue
        common = overlap(told[number, None, 2:], there[candidates, 2:])[0]
        best = int(common.argmax())
        if common[best] >= least and not found[candidates[best]]:
            found[candidates[best]] = right[rank] = True
    return area_under(right, len(there))


def area_under(right: NDArray[np.bool_], objects: int) -> float:
    """Return the area under precision, made monotone, over recall, of detections from the surest to the least sure."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[right].sum() / objects)
