"""Where datasets lie on this machine, and how files get there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

ENVIRONMENT = "FEDLITE_DATA"
FORMAT = 1
"""Version of the prepared arrays; raised when a reader's `prepare` changes, so that old files are not read."""


def data_dir(root: str | Path | None = None) -> Path:
    """Return the folder of datasets: `root`, else `$FEDLITE_DATA`, else `fedlite` in the user's cache folder."""
    chosen = root or os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fedlite"


def prepared_path(entry: Entry, root: str | Path | None = None) -> Path:
    """Return where the checked and converted arrays of a dataset lie."""
    return data_dir(root) / f"{entry.name}-{entry.sha256[:12]}-v{FORMAT}.npz"


def archive_path(entry: Entry, root: str | Path | None = None) -> Path:
    """Return where an archive fetched by hand is looked for."""
    return data_dir(root) / "downloads" / entry.archive


def sha256_of(data: bytes) -> str:
    """Return the hexadecimal sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed `.npz` so that readers see the whole file or none, even if two processes write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        Path(temporary).chmod(0o644)  # mkstemp is private, but a data folder may be shared
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
