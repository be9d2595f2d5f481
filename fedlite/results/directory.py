"""The run directory: self-describing files, written so that a reader never sees half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
"""Version of the layout; readers refuse others."""


class RunDirectory:
    """Where one run keeps what it was asked, what it did and what came of it.

    Parameters
    ----------
    path : Path
        Created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FedliteError(f"--out: got {path}, which cannot be made ({error}); choose another folder") from error

    @classmethod
    def next_free(cls, parent: Path, name: str) -> RunDirectory:
        """Make `parent/name-001`, or the first number that is free."""
        number = 1
        while True:
            path = parent / f"{name}-{number:03d}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                number += 1
                continue
            return cls(path)

    @property
    def journal(self) -> Path:
        """Results of finished chunks, for `--resume`."""
        return self.path / "journal.bin"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.path / "report.html"

    def write_text(self, name: str, text: str) -> None:
        """Write a text file in one step."""
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def read_text(self, name: str) -> str:
        """Read a text file.

        Raises
        ------
        FedliteError
            If it is missing.
        """
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except OSError as error:
            raise FedliteError(
                f"{self.path}: got no {name}, expected a run directory of fedlite; check the path"
            ) from error

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file in one step; NaN becomes null."""
        self.write_text(name, json.dumps(without_nan(value), indent=2) + "\n")

    def write_table(self, name: str, columns: Mapping[str, NDArray[Any]] | Sequence[Mapping[str, Any]]) -> None:
        """Write a Parquet file in one step."""
        if isinstance(columns, Mapping):
            frame = pl.DataFrame(
                {key: values.tolist() if values.dtype.kind == "U" else values for key, values in columns.items()}
            )
        else:
            frame = pl.DataFrame(list(columns))
        self._replace(name, frame.write_parquet)

    def write_model(self, names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
        """Write the final model as safetensors."""
        tensors = {name: np.ascontiguousarray(values) for name, values in zip(names, arrays, strict=True)}
        self._replace("model.safetensors", lambda path: save_file(tensors, path))

    def read_model(self) -> dict[str, NDArray[Any]]:
        """Read the final model."""
        tensors: dict[str, NDArray[Any]] = load_file(self.path / "model.safetensors")
        return tensors

    def _replace(self, name: str, write: Any) -> None:
        path = self.path / name
        part = path.with_name(f".{name}.part")
        write(part)
        part.replace(path)


def without_nan(value: Any) -> Any:
    """Return JSON values with NaN and infinities as null, which JSON has no numbers for."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
