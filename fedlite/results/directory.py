"""The run directory: self-describing files, written so that a reader never sees half a file."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars.exceptions import PolarsError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedlite.errors import EngineLostError, FedliteError, unwritten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
"""Version of the layout; readers refuse others."""


FILES = (
    "scenario.yaml",
    "app.json",
    "program.json",
    "manifest.json",
    "summary.json",
    "rounds.parquet",
    "clients.parquet",
    "fleet.parquet",
    "check_ins.parquet",
    "evaluation.parquet",
    "model.safetensors",
    "seen.safetensors",
    "seen.json",
    "journal.bin",
    "report.html",
)
"""What a run writes."""


_STORABLE = frozenset({"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8"})
"""Types of arrays that safetensors writes."""
_log = logging.getLogger(__name__)


PROGRESS = "progress.json"
"""How far a run is that is under way; gone when it ends."""


BEGINNING = ("program.json", "app.json", "scenario.yaml")
"""What it writes before it trains, the scenario last."""


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
            str(path).encode()
        except UnicodeEncodeError as error:
            raise FedliteError(
                f"--out: got {str(path)!r}, whose name is no UTF-8 text, as Parquet needs; choose another folder"
            ) from error
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error

    @classmethod
    def next_free(cls, parent: Path, name: str) -> RunDirectory:
        """Make `parent/name-001`, or the first number that is free."""
        number = 1
        # The parent first: one that is a file must not look like a number that is taken.
        cls(parent)
        while True:
            path = parent / f"{name}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            except OSError as error:
                raise _unwritable(path, error) from error
            return cls(path)

    @classmethod
    def refuse_used(cls, path: Path, scenario: str) -> None:
        """Refuse a directory in which a new run of a scenario would write over something.

        Raises
        ------
        FedliteError
            If it holds a run, or a file that a run writes; the very scenario, alone or with what was asked of an app
            and its program, is what a run leaves that could not begin.
        """
        taken = [name for name in FILES if (path / name).exists()]
        if "journal.bin" in taken and not (path / "journal.bin").stat().st_size:
            taken.remove("journal.bin")  # nothing was ever computed
        begun = {"scenario.yaml", "program.json"} & set(taken) and set(taken) <= set(BEGINNING)
        same = "scenario.yaml" not in taken or cls(path).read_text("scenario.yaml") == scenario
        if not taken or (begun and same):
            return
        if "summary.json" in taken:
            kind = "a finished run" if cls(path).failure is None else "a run that failed, as its report says"
            raise FedliteError(f"--out: got {path}, which holds {kind}; choose another folder")
        if "journal.bin" in taken:
            raise FedliteError(
                f"--out: got {path}, which holds an interrupted run; continue it with --resume {path},"
                " or choose another folder"
            )
        raise FedliteError(f"--out: got {path}, where a run would write over {', '.join(taken)}; choose another folder")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other run out of the directory meanwhile; the hold ends with the process, however it ends.

        Raises
        ------
        FedliteError
            If another run is at work in it.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FedliteError(
                    f"{self.path}: got a second run while another is at work in it, expected one at a time;"
                    " wait for it to end, or choose another --out"
                ) from error
            yield
        except (KeyboardInterrupt, EngineLostError) as stop:
            again = f"Continue with --resume {self.path}" if self.has_begun else "Nothing had begun: start it again"
            stop.add_note(f"Stopped. {again}")
            raise
        finally:
            os.close(handle)

    @property
    def is_held(self) -> bool:
        """Whether a run is at work here."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def forget_beginning(self) -> None:
        """Remove what a run leaves that failed before anything was computed; what has been, stays."""
        if self.journal.exists() and self.journal.stat().st_size:
            return
        for name in (*BEGINNING, self.journal.name, PROGRESS):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's files are in it
            self.path.rmdir()

    def forget_progress(self) -> None:
        """Remove what says how far the run is: it is at its end."""
        (self.path / PROGRESS).unlink(missing_ok=True)

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to go on with: what it writes last before it trains is there."""
        return (self.path / BEGINNING[-1]).is_file()

    @property
    def has_summary(self) -> bool:
        """Whether a run came to an end here, good or bad."""
        return (self.path / "summary.json").is_file()

    @property
    def failure(self) -> str | None:
        """Why the run that ended here failed; None if it did not, or if nobody can read whether it did."""
        try:
            summary = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        failure = summary.get("failure") if isinstance(summary, dict) else None
        return failure if isinstance(failure, str) else None

    def forget_end(self) -> None:
        """Remove what says that a run came to an end here, before it is tried again."""
        for name in ("summary.json", "report.html"):
            (self.path / name).unlink(missing_ok=True)

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
            If it is missing or no text.
        """
        path = self.path / name
        reason: Exception | None = None
        try:
            if path.is_file():  # reading a pipe would wait for somebody who writes
                return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error
        raise FedliteError(
            f"{self.path}: got no readable {name}, expected a run directory of fedlite; check the path"
        ) from reason

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file in one step; NaN becomes null."""
        self.write_text(name, json.dumps(without_nan(value), indent=2) + "\n")

    def write_table(self, name: str, columns: Mapping[str, NDArray[Any]] | Sequence[Mapping[str, Any]]) -> None:
        """Write a Parquet file in one step."""
        if isinstance(columns, Mapping):
            frame = pl.DataFrame(
                {
                    # Polars takes no fixed-width text; told the type, so that a table without rows has it too.
                    key: pl.Series(values.tolist(), dtype=pl.String) if values.dtype.kind in "UO" else values
                    for key, values in columns.items()
                }
            )
        else:
            frame = pl.DataFrame(list(columns))
        self._replace(name, frame.write_parquet)

    def write_model(self, names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
        """Write the final model as safetensors; arrays of types that it does not have are left out, and named."""
        tensors = {name: np.asarray(values, order="C") for name, values in zip(names, arrays, strict=True)}
        for name in [name for name, values in tensors.items() if values.dtype.str[1:] not in _STORABLE]:
            _log.warning("model.safetensors: the array %r of type %s is left out", name, tensors.pop(name).dtype)
        self._replace("model.safetensors", lambda path: save_file(tensors, path))

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write named arrays as safetensors in one step."""
        tensors = {key: np.asarray(values, order="C") for key, values in arrays.items()}
        self._replace(name, lambda path: save_file(tensors, path))

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the file of the final model; raises OSError if there is none."""
        return sha256_of(self.path / "model.safetensors")

    def read_model(self) -> dict[str, NDArray[Any]]:
        """Read the final model."""
        tensors: dict[str, NDArray[Any]] = load_file(self.path / "model.safetensors")
        return tensors

    def _replace(self, name: str, write: Any) -> None:
        path = self.path / name
        part = path.with_name(f".{name}.part")
        try:
            write(part)
            part.replace(path)
        except (OSError, PolarsError, SafetensorError) as error:
            raise unwritten(path, error) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(path: Path, error: OSError) -> FedliteError:
    return FedliteError(f"--out: got {path}, which cannot be made ({error}); choose another folder")


def without_nan(value: Any) -> Any:
    """Return JSON values with NaN and infinities as null, which JSON has no numbers for."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
