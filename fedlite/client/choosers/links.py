"""Classes of links, by rates that part them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def check_rates(links: Sequence[float]) -> None:
    """Raise PartError unless these are rates, rising."""
    if list(links) != sorted({rate for rate in links if rate > 0}):
        raise PartError(f"links: got {list(links)}, expected rising rates in bit/s; write for example 'links: [5e6]'")


def link_class(links: Sequence[float], up_bps: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many of the rates each link reaches."""
    return np.asarray(np.searchsorted(np.array(links, dtype=np.float64), up_bps, side="right"), dtype=np.int64)
