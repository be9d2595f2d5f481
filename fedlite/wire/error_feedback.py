"""Error feedback: what a lossy codec left out is kept and added to the next update.

Pure functions; the caller keeps each client's residual. Sum of what was decoded plus the residual equals the sum of the
updates, also across rounds that a client skips and uploads that get lost.

Error feedback helps biased codecs that contract (top-k, sign). The stochastic integers are unbiased and need none: int4
and int2 with one scale per tensor do not contract, and with error feedback they were measured to get worse.

References
----------
Karimireddy et al. 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", algorithm 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.wire.packet import decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.wire.codec import Codec

Array = NDArray[Any]


def zeros(update: Sequence[Array]) -> list[Array]:
    """Return the residual of a client that has sent nothing yet."""
    return [np.zeros_like(array) for array in update]


def compress(
    update: Sequence[Array],
    residual: Sequence[Array] | None,
    codec: Sequence[str] | Codec,
    rng: np.random.Generator | None = None,
) -> tuple[bytes, list[Array]]:
    """Return the packet of `update + residual`, and the part that the packet leaves out.

    Parameters
    ----------
    update : sequence of arrays
        The client's difference to the received model; integer tensors are values and have no residual.
    residual : sequence of arrays or None
        What earlier packets left out; None for the first time.
    """
    total = list(update) if residual is None else _added(update, residual)
    buffer = encode(total, codec, rng)
    left = [
        whole - sent if _is_float(whole) else np.zeros_like(whole)
        for whole, sent in zip(total, decode(buffer), strict=True)
    ]
    return buffer, left


def restore(residual: Sequence[Array], buffer: bytes) -> list[Array]:
    """Return the residual after the upload of `buffer` was lost: what it carried still has to be sent."""
    return _added(residual, decode(buffer), integers=False)


def _added(first: Sequence[Array], second: Sequence[Array], *, integers: bool = True) -> list[Array]:
    return [
        a + b if _is_float(a) else (a if integers else np.zeros_like(a)) for a, b in zip(first, second, strict=True)
    ]


def _is_float(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating)
