"""The benchmark's clients as a fedlite dataset: one natural client per owner, 50 rows each, the rows of `work.data`."""

from __future__ import annotations

import numpy as np
from work import CLASSES, SAMPLES, Work, data

from fedlite.learning.data.dataset import Dataset


def _federation(model, fleet):
    x, y, rows = data(Work(model, fleet, cohort=1, seconds=0))
    owner = np.repeat(np.arange(fleet), SAMPLES)
    used = rows.ravel()
    return Dataset(
        name=f"speed-{model}-{fleet}",
        x_train=np.ascontiguousarray(x[used]),
        y_train=y[used],
        x_test=x,
        y_test=y,
        client_train=owner,
        client_test=np.arange(len(y)) % fleet,
        num_classes=CLASSES,
        input_shape=x.shape[1:],
        licence="BSD-3-Clause (scikit-learn's digits)",
        source="sklearn.datasets.load_digits",
    )


def mlp_100():
    return _federation("mlp", 100)


def mlp_1000():
    return _federation("mlp", 1000)


def cnn_100():
    return _federation("cnn", 100)


def cnn_1000():
    return _federation("cnn", 1000)
