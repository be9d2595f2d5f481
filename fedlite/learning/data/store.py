"""From a row of the catalogue to checked arrays on disk: look, fetch, verify, convert, keep."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from fedlite.learning.data.archives import read_members
from fedlite.learning.data.cache import archive_path, data_dir, prepared_path, write_arrays
from fedlite.learning.data.catalog import lookup
from fedlite.learning.data.registries import fetch_archive, manual_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry
    from fedlite.learning.data.dataset import Dataset


class Reader(Protocol):
    """What a reader module has."""

    def read(self, entry: Entry, prepared: Path | None) -> Dataset:
        """Return the dataset, from the prepared arrays if there are any."""

    def prepare(self, members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
        """Return the arrays to keep, from the verified members of the archive."""


@dataclass(frozen=True)
class Stored:
    """Where a dataset lies."""

    entry: Entry
    path: Path | None
    """File of arrays; None if nothing needs fetching or nothing was fetched yet."""
    size_bytes: int
    ready: bool


def stored(name: str, root: str | Path | None = None) -> Stored:
    """Tell whether a dataset is on this machine, without fetching anything."""
    entry = lookup(name)
    if entry.registry == "bundled":
        return Stored(entry, None, 0, ready=True)
    path = prepared_path(entry, root)
    if not path.is_file():
        return Stored(entry, None, 0, ready=False)
    return Stored(entry, path, path.stat().st_size, ready=True)


def ensure(name: str, root: str | Path | None = None) -> Stored:
    """Fetch, verify and convert a dataset unless that was done before.

    An archive put by hand into the `downloads` folder is used in place of the network; it is verified the same way.

    Raises
    ------
    DataUnavailableError
        If the archive can not be had or is not the expected one. Says what was tried and how to do it by hand.
    """
    known = stored(name, root)
    if known.ready:
        return known
    entry = known.entry
    by_hand = archive_path(entry, root)
    if by_hand.is_file():
        members = read_members(entry, by_hand.read_bytes(), str(by_hand))
    else:
        folder = data_dir(root)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as temporary:
            fetched = fetch_archive(entry, Path(temporary), _remedy(entry, by_hand))
            members = read_members(entry, fetched.read_bytes(), entry.archive)
    write_arrays(prepared_path(entry, root), reader_of(entry).prepare(members))
    return stored(name, root)


def reader_of(entry: Entry) -> Reader:
    """Return the module that reads this dataset."""
    return cast("Reader", importlib.import_module(entry.reader))


def _remedy(entry: Entry, by_hand: Path) -> str:
    return (
        f"on a machine with network run '{manual_command(entry)}' and put {entry.archive} into {by_hand.parent}, "
        "or use the dataset 'digits', which needs no download"
    )
