"""Reader of IDX files, the format of MNIST and its relatives: a magic number, the sizes, then raw bytes."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.errors import DataUnavailableError
from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.images import standardise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 8


def parse_idx(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the array inside an IDX file of unsigned bytes, unpacked first if it is gzipped.

    Raises
    ------
    DatasetError
        If the magic number, the type or the length is wrong.
    """
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError) as error:
            raise DatasetError(f"{name}: got a damaged gzip file ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:  # noqa: PLR2004 - 4 bytes of magic number
        raise DatasetError(
            f"{name}: got magic number {data[:4].hex() or 'none'}, expected 00 00 08: IDX, unsigned bytes"
        )
    rank, start = data[3], 4 + 4 * data[3]
    shape = struct.unpack(f">{rank}I", data[4:start]) if len(data) >= start else ()
    body = data[start:]
    if len(shape) != rank or len(body) != int(np.prod(shape, dtype=np.int64)):
        raise DatasetError(f"{name}: got {len(body)} bytes for shape {shape}, expected one each; the file is cut short")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def prepare(members: Mapping[str, bytes]) -> dict[str, NDArray[Any]]:
    """Return the four arrays of an archive of IDX files, gzipped or not."""
    named = {path.rsplit("/", 1)[-1].removesuffix(".gz"): data for path, data in members.items()}
    return {key: parse_idx(named[file], file) for key, file in FILES.items()}


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return the pictures as rows of shape (1, height, width), standardised with training statistics."""
    if prepared is None:
        raise ValueError(f"{entry.name} is always fetched")
    with np.load(prepared) as arrays:
        stored = {key: arrays[key] for key in FILES}
    return _dataset(stored, entry.name, entry.licence, entry.source, CLASS_NAMES[entry.name])


def read_folder(folder: Path) -> Dataset:
    """Return the set in a folder that holds the four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]`.

    Raises
    ------
    DataUnavailableError
        If a file is missing.
    DatasetError
        If a file is no IDX file of unsigned bytes.
    """
    arrays = {}
    for key, file in FILES.items():
        path = next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
        if path is None:
            raise DataUnavailableError(
                f"{folder}: got no {file} or {file}.gz, expected the four IDX files of an MNIST-like set; "
                "check the folder"
            )
        arrays[key] = parse_idx(path.read_bytes(), str(path))
    return _dataset(arrays, f"idx:{folder}", "as stated by whoever made the files", str(folder), ())


def _dataset(
    arrays: Mapping[str, NDArray[np.uint8]], name: str, licence: str, source: str, class_names: tuple[str, ...]
) -> Dataset:
    x_train, x_test = standardise(arrays["x_train"][:, None], arrays["x_test"][:, None])
    y_train, y_test = arrays["y_train"].astype(np.int64), arrays["y_test"].astype(np.int64)
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        client_train=None,
        client_test=None,
        num_classes=1 + int(max(y_train.max(), y_test.max())),
        input_shape=x_train.shape[1:],
        licence=licence,
        source=source,
        class_names=class_names,
    )
