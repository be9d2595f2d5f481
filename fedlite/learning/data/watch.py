"""Reader of the watch recordings: accelerometer and gyroscope of a smartwatch during seven exercises.

Ten subjects wore the watch on either arm: 20 natural clients, one recording for each exercise, 50 samples a second.

References
----------
Burns, Leung, Hardisty, Whyne, Henry, McLachlin 2018, "Shoulder physiotherapy exercise recognition: machine learning
the inertial signals from a smartwatch", arXiv:1802.01489.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.data.dataset import Dataset
from fedlite.learning.data.images import standardise
from fedlite.learning.data.safe_pickle import load_object_array

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

WINDOW = 100
"""Samples of one window: 2 s."""
STRIDE = 50
TRAIN_SHARE = 0.75
MEMBER = "seglearn/data/watch_dataset.npy"
CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


def prepare(members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
    """Return the pickled recordings as plain arrays: all rows one after another, with the length of each recording."""
    bundle = load_object_array(BytesIO(members[MEMBER]))
    return {
        "rows": np.concatenate(list(bundle["X"])).astype(np.float32),
        "lengths": np.array([len(recording) for recording in bundle["X"]], dtype=np.int64),
        "exercise": np.asarray(bundle["y"], dtype=np.int64),
        "subject": np.asarray(bundle["subject"], dtype=np.int64),
        "side": np.asarray(bundle["side"]).astype(np.int64),
    }


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return windows of 100 samples, stride 50, as rows of shape (6, 100).

    The last quarter of every recording is the test split. Its first window shares 50 samples with the last training
    window and is dropped, so no sample lies in both. Channels are standardised with training statistics only.
    """
    if prepared is None:
        raise ValueError("watch recordings are always fetched")
    with np.load(prepared) as arrays:
        stored = {key: arrays[key] for key in arrays.files}
    train: list[NDArray[np.float32]] = []
    test: list[NDArray[np.float32]] = []
    ends = np.cumsum(stored["lengths"])
    for start, end in zip(ends - stored["lengths"], ends, strict=True):
        windows = _windows(stored["rows"][start:end])
        last = int(TRAIN_SHARE * len(windows))
        train.append(windows[: last + 1])
        test.append(windows[last + 2 :])  # window last + 1 overlaps the last training window
    owner = 2 * (stored["subject"] - 1) + stored["side"]
    x_train, x_test = standardise(np.concatenate(train), np.concatenate(test))
    n_train, n_test = ([len(part) for part in split] for split in (train, test))
    return Dataset(
        name="watch",
        x_train=x_train,
        y_train=np.repeat(stored["exercise"], n_train),
        x_test=x_test,
        y_test=np.repeat(stored["exercise"], n_test),
        client_train=np.repeat(owner, n_train),
        client_test=np.repeat(owner, n_test),
        num_classes=len(CLASSES),
        input_shape=(6, WINDOW),
        licence=entry.licence,
        source=entry.source,
        client_names=tuple(f"subject {1 + client // 2}, side {client % 2}" for client in range(owner.max() + 1)),
        class_names=CLASSES,
        person_of_client=np.arange(owner.max() + 1) // 2,
        standardised=True,
    )


def _windows(recording: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every window of one recording, shape (windows, 6, 100)."""
    return np.lib.stride_tricks.sliding_window_view(recording, WINDOW, axis=0)[::STRIDE]
