"""Byte shuffle: all first bytes, then all second bytes, and so on, so that exponents lie together."""

from __future__ import annotations

import numpy as np


def shuffle(payload: bytes, stride: int) -> bytes:
    """Return the bytes of values of `stride` bytes, reordered by place within the value."""
    if stride == 1:
        return payload
    return np.frombuffer(payload, np.uint8).reshape(-1, stride).T.tobytes()


def unshuffle(payload: memoryview, stride: int) -> bytes:
    """Return the bytes in their first order; the inverse of `shuffle`."""
    if stride == 1:
        return bytes(payload)
    return np.frombuffer(payload, np.uint8).reshape(stride, -1).T.tobytes()
