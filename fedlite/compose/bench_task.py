"""What a compression bench trains and tests on: a bounded number of real rows, dealt to a few clients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.devices import network
from fedlite.learning import models
from fedlite.learning.data.load import load
from fedlite.rng import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.devices.profile import DeviceProfile
    from fedlite.learning.data.dataset import Dataset

_HELD: Final = 0.1
"""Share of the training rows that searches may be judged by; nobody trains on them."""
_MOST_HELD: Final = 500
_TEXT: Final = 3


@dataclass(frozen=True)
class Effort:
    """How much a bench trains.

    Attributes
    ----------
    rows : int
        Most training rows; half as many test rows.
    epochs : int
        Of the full model over all rows, before any technique.
    rounds : int
        Of federated averaging under the technique's plan after that, and as many under no plan for comparison.
    clients : int
        Among whom the rows are dealt; all take part in every round, one epoch each.
    batch : int
    lr : float
        Of Adam; 0.001 is its authors' own.
    seed : int
    """

    rows: int = 3000
    epochs: int = 6
    rounds: int = 4
    clients: int = 4
    batch: int = 32
    lr: float = 1e-3
    seed: int = 1


@dataclass(frozen=True)
class BenchTask:
    """Real rows as a bench uses them.

    Attributes
    ----------
    data : Dataset
        With at most so many rows, images enlarged if the net needs it.
    train, held : index arrays
        Rows to train on, and rows to judge searches by.
    shares : list of index arrays
        The rows of each client.
    enlarged : int
        Factor by which images were enlarged.
    """

    data: Dataset
    train: NDArray[np.int64]
    held: NDArray[np.int64]
    shares: list[NDArray[np.int64]]
    enlarged: int


def bench_task(name: str, nets: tuple[str, ...], effort: Effort) -> BenchTask:
    """Return the rows of a data set for some nets, drawn and dealt from the effort's seed.

    Raises
    ------
    FedliteError
        If there is no such data, or it cannot be had.
    """
    data = _few(load(name), effort)
    factor = max(_enlarging(net, data.input_shape) for net in nets)
    if factor > 1:
        data = _enlarged(data, factor)
    order = stream(effort.seed, "bench rows").permutation(len(data.y_train)).astype(np.int64)
    kept = min(_MOST_HELD, int(_HELD * len(order)))
    shares = [np.sort(part) for part in np.array_split(order[kept:], effort.clients)]
    return BenchTask(data, np.sort(order[kept:]), np.sort(order[:kept]), shares, factor)


def _few(data: Dataset, effort: Effort) -> Dataset:
    """Return a data set with at most so many rows, drawn at random, without owners."""
    # A row of text is a prediction for many characters, and takes a net as much longer.
    rows_most = effort.rows // (_TEXT if data.objective == "next-character" else 1)
    rows = {
        split: _drawn(len(labels), most, effort.seed, split)
        for split, labels, most in (("train", data.y_train, rows_most), ("test", data.y_test, rows_most // 2))
    }
    parts: dict[str, Any] = {
        f"{axis}_{split}": getattr(data, f"{axis}_{split}")[rows[split]] for axis in "xy" for split in rows
    }
    return replace(data, **parts, client_train=None, client_test=None, client_names=(), person_of_client=None)


def _drawn(count: int, most: int, seed: int, split: str) -> NDArray[np.int64]:
    order = stream(seed, "bench draw", split).permutation(count)[:most]
    return np.sort(order).astype(np.int64)


def _enlarging(net: str, shape: tuple[int, ...]) -> int:
    """Return the whole factor by which an image has to be enlarged for a net; 1 if it is large enough."""
    dimensions, least = models.TAKES.get(net, (0, 0))
    if dimensions != len(shape) or dimensions != _IMAGE:
        return 1
    return max(1, -(-least // min(shape[1:])))


_IMAGE = 3


def uplinks(profile: DeviceProfile, clients: int) -> NDArray[np.float64]:
    """Return the uplink rates of clients on the device's own access type, bit/s: one for each equal part of them."""
    quantiles = (np.arange(clients) + 0.5) / clients
    return np.asarray(network.ACCESS[profile.radios[0]].up_bps.at(quantiles), dtype=np.float64)


def _enlarged(data: Dataset, factor: int) -> Dataset:
    def larger(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x.repeat(factor, axis=2).repeat(factor, axis=3)

    channels, height, width = data.input_shape
    shape = (channels, factor * height, factor * width)
    return replace(data, x_train=larger(data.x_train), x_test=larger(data.x_test), input_shape=shape)
