"""Text as numbers: each character of an alphabet is a class, and windows over a text ask for the one that follows."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

PRINTABLE: Final = "\n " + string.punctuation + string.digits + string.ascii_letters
"""The line break, the space and what else ASCII prints: 96 characters."""


def encode(text: str, alphabet: str = PRINTABLE) -> NDArray[np.int64]:
    """Return the class of each character: `alphabet[i]` is class `i + 1`, class 0 is any other character."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.int64)
    known = np.array([ord(character) for character in alphabet], dtype=np.int64)
    order = np.argsort(known)
    place = np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)
    found = order[place]
    return np.where(known[found] == codes, found + 1, 0)


def windows(
    characters: NDArray[np.integer], begins: Ints, ends: Ints, *, context: int, stride: int
) -> tuple[NDArray[np.float32], Ints, Ints]:
    """Return every window inside each [begin, end), the character after it, and which of the ranges it is of.

    Parameters
    ----------
    characters : int array, shape (characters,)
        All texts, one after another.
    begins, ends : int arrays, shape (texts,)
    context : int
        Characters of a window.
    stride : int
        Characters from one window to the next.

    Returns
    -------
    x : float32 array, shape (windows, context)
    y, owner : int64 arrays, shape (windows,)
    """
    starts = [np.arange(begin, end - context, stride) for begin, end in zip(begins, ends, strict=True)]
    owners = np.repeat(np.arange(len(begins)), [len(each) for each in starts])
    start = np.concatenate([np.empty(0, np.int64), *starts])
    x = characters[start[:, None] + np.arange(context)].astype(np.float32)
    return x, characters[start + context].astype(np.int64), owners
