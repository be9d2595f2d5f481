"""Where the files that ship with fedlite lie: in a checkout next to the package, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

Kind = Literal["device_profiles", "scenarios"]

_PACKAGE: Final = Path(__file__).resolve().parent.parent


def share_dir(kind: Kind) -> Path:
    """Return the folder of shipped profiles or scenarios: the checkout's if there is one, else the wheel's."""
    checkout = _PACKAGE.parent / kind
    if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    return _PACKAGE / "share" / kind
