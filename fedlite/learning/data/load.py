"""One door to every dataset: a name of the catalogue, files of the user's own, or a factory of the user's own."""

from __future__ import annotations

import contextlib
import inspect
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fedlite import own_code
from fedlite.errors import DataUnavailableError
from fedlite.learning.data import idx
from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.store import ensure, reader_of

if TYPE_CHECKING:
    from fedlite.learning.data.csv_file import CsvFile
    from fedlite.learning.data.npz_file import NpzFile

IDX_PREFIX = "idx:"


def load(name: str | CsvFile | NpzFile, root: str | Path | None = None) -> Dataset:
    """Return a dataset, fetching it first if it is not on this machine.

    Parameters
    ----------
    name : str, CsvFile or NpzFile
        A file with what is what in it; a name of the catalogue ("watch"), "idx:FOLDER" for the four files of an
        MNIST-like set, or
        "package.module:factory" for a function without arguments that returns a `Dataset`.
    root : path, optional
        Folder of datasets; default `$FEDLITE_DATA`, else `~/.cache/fedlite`.

    Raises
    ------
    DataUnavailableError
        If the data is not here and can not be fetched.
    UnknownNameError
        If the catalogue has no such name.
    DatasetError
        If a file is not what it is said to be, a factory is missing or returns something else.
    """
    if not isinstance(name, str):
        return name.read()
    if name.startswith(IDX_PREFIX):
        return idx.read_folder(Path(name.removeprefix(IDX_PREFIX)).expanduser())
    if ":" in name:
        return _from_factory(name)
    known = ensure(name, root)
    try:
        return reader_of(known.entry).read(known.entry, known.path)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        raise DataUnavailableError(
            f"{known.path}: got a damaged file ({error}), expected the arrays of {name!r}; delete it and run "
            f"'fedlite data fetch {name}'"
        ) from error


def _from_factory(name: str) -> Dataset:
    try:
        factory = own_code.load(name)
    except own_code.OwnCodeError as error:
        raise DatasetError(
            f"dataset {name!r}: got a name that cannot be imported ({error}), expected package.module:function; "
            f"{own_code.REMEDY}"
        ) from error
    try:
        with contextlib.suppress(ValueError):  # some built-in functions have no signature; what they return tells
            inspect.signature(factory).bind()
    except TypeError as error:
        raise DatasetError(
            f"dataset {name!r}: got {error}, expected a function that needs no argument; give its arguments defaults"
        ) from error
    try:
        made = own_code.call(factory)
    except own_code.OwnCodeError as error:
        raise DatasetError(
            f"dataset {name!r}: got {error}, expected a Dataset from the factory; mend it there"
        ) from error
    if not isinstance(made, Dataset):
        raise DatasetError(
            f"dataset {name!r}: got {type(made).__name__} from the factory, expected fedlite.learning.data.Dataset"
        )
    return made
