"""Reader of digit scenes: one to three real digits on a dark canvas, each of them a box and a class to be found.

The pictures are scikit-learn's digits, as written or enlarged twice, in places drawn from a fixed stream; those of the
test scenes are held out as `digits` holds them out. A box is what the ink of its digit covers. Boxes do not overlap,
and no two have their centre in one cell of the grid in which they are told (`learning.detection.grid`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.learning.data.dataset import Dataset
from fedlite.learning.data.digits import SPLIT_SEED, pictures
from fedlite.learning.data.images import standardise
from fedlite.learning.detection.grid import BOX, cell_of, encoded
from fedlite.rng import stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

    Floats = NDArray[np.float32]

SIDE: Final = 32
CELLS: Final = 4
CLASSES: Final = 10
MOST: Final = 3
"""Objects in a scene."""
_SCENES: Final = {"train": 3000, "test": 600}
_TRIES: Final = 20
"""Places that are tried for a digit before the scene goes on without it."""

Box = tuple[int, float, float, float, float]


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return the scenes, inputs (1, 32, 32), and as numbers of a row the grid of its objects, flat.

    The same in every run whatever the run's seed. Nobody is recorded, so it has no natural clients.
    """
    del prepared  # nothing to fetch: the pictures are inside scikit-learn
    x, y = {}, {}
    for split, (drawn, kinds) in pictures().items():
        x[split], y[split] = composed(drawn[:, 0], kinds, _SCENES[split], stream(SPLIT_SEED, "digit scenes", split))
    x_train, x_test = standardise(x["train"], x["test"])
    return Dataset(
        name="digit-scenes",
        x_train=x_train,
        y_train=y["train"],
        x_test=x_test,
        y_test=y["test"],
        client_train=None,
        client_test=None,
        num_classes=(BOX + CLASSES) * CELLS**2,
        input_shape=(1, SIDE, SIDE),
        licence=entry.licence,
        source=entry.source,
        objective="detection",
    )


def composed(
    drawn: NDArray[np.float64], kinds: NDArray[np.int64], count: int, dice: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return scenes (count, 1, 32, 32) of pictures (n, 8, 8) of these classes, and their objects, flat grids."""
    scenes = np.zeros((count, 1, SIDE, SIDE), dtype=np.float32)
    grids = np.empty((count, (BOX + CLASSES) * CELLS**2), dtype=np.float32)
    for scene, grid in zip(scenes, grids, strict=True):
        boxes: list[Box] = []
        for _ in range(int(dice.integers(1, MOST + 1))):
            row = int(dice.integers(len(drawn)))
            picture = np.kron(drawn[row], np.ones(2 * (int(dice.integers(1, 3)),)))
            if box := _placed(scene[0], picture, int(kinds[row]), boxes, dice):
                boxes.append(box)
        grid[:] = encoded(boxes, CELLS, CLASSES).reshape(-1)
    return scenes, grids


def _placed(
    scene: Floats, picture: NDArray[np.float64], kind: int, boxes: list[Box], dice: np.random.Generator
) -> Box | None:
    """Draw a picture into a scene where it disturbs no other, and return its box; None if no place was found."""
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    ink = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = ink.shape
    for _ in range(_TRIES):
        top, left = (int(dice.integers(SIDE - side + 1)) for side in (height, width))
        box = (kind, left / SIDE, top / SIDE, (left + width) / SIDE, (top + height) / SIDE)
        if not any(_in_the_way(box, other) for other in boxes):
            scene[top : top + height, left : left + width] = ink
            return box
    return None


def _in_the_way(box: Box, other: Box) -> bool:
    """Tell whether two boxes touch, or have their centres in one cell."""
    _, x0, y0, x1, y1 = box
    _, a0, b0, a1, b1 = other
    apart = x1 < a0 or a1 < x0 or y1 < b0 or b1 < y0
    return not apart or cell_of(x0, y0, x1, y1, CELLS) == cell_of(a0, b0, a1, b1, CELLS)
