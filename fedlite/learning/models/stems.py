"""How a net begins: made for images of about 224 pixels, or for small ones of about 32, which it does not shrink."""

from __future__ import annotations

from typing import Final

from fedlite.errors import UnknownNameError

STEMS: Final = ("imagenet", "small")


def is_small(stem: str) -> bool:
    """Return whether a stem is the one for small images.

    Raises
    ------
    UnknownNameError
        If it is not one of `STEMS`.
    """
    if stem not in STEMS:
        raise UnknownNameError("stem", stem, list(STEMS))
    return stem == "small"
