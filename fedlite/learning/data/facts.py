"""What there is in a dataset, or in a file that may become one, in a few numbers."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.data.columns import Columns, refuse_large
from fedlite.learning.data.dataset import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.learning.data.dataset import Dataset


def of_dataset(data: Dataset) -> dict[str, Any]:
    """Return names, sizes, classes and how many rows each owner has."""
    found: dict[str, Any] = {
        "name": data.name,
        "objective": data.objective,
        "input_shape": list(data.input_shape),
        "classes" if data.has_classes else "numbers": data.num_classes,
        "train_rows": len(data.y_train),
        "test_rows": len(data.y_test),
        "natural_clients": data.natural_clients,
    }
    if data.client_train is not None:
        rows = np.unique(data.client_train, return_counts=True)[1]
        found["rows_of_a_client"] = {
            "least": int(rows.min()),
            "median": float(np.median(rows)),
            "most": int(rows.max()),
        }
    if data.has_classes and data.objective == "cross-entropy":
        names = data.class_names or tuple(map(str, range(data.num_classes)))
        counts = np.bincount(data.y_train, minlength=data.num_classes)
        found["rows_of_a_class"] = dict(zip(names, counts.tolist(), strict=False))
    return found | {"licence": data.licence, "source": data.source}


def of_csv(path: Path) -> list[dict[str, Any]]:
    """Return for each column whether it is of numbers, how many values there are, and the first one."""
    columns = Columns.read(path)
    rows = []
    for name in columns.names:
        cells = columns.text(name)
        values = set(cells)
        try:
            columns.numbers(name)
            kind = "numbers"
        except DatasetError:
            kind = "text"
        rows.append({
            "column": name, "kind": kind, "values": len(values - {""}), "empty": cells.count(""), "first": cells[0]
        })  # fmt: skip
    return rows


def of_npz(path: Path) -> list[dict[str, Any]]:
    """Return name, type and shape of each array; the arrays themselves are not read.

    Raises
    ------
    DatasetError
        If it is no npz file.
    """
    refuse_large(path)
    rows = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    version = np.lib.format.read_magic(member)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, kind = read(member)
                rows.append({"array": name.removesuffix(".npy"), "type": str(kind), "shape": list(shape)})
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: got no npz file ({error}), expected one as numpy.savez writes it") from error
    return rows
