"""The ledger: append-only rows of what happened to every device job. Accountants read it; nobody rewrites it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

COLUMNS: Final[dict[str, type]] = {
    "round": np.int32,
    "kind": np.str_,
    "device": np.int32,
    "profile": np.str_,
    "tier": np.str_,
    "plan": np.str_,
    "access": np.str_,
    "outcome": np.str_,
    "reason": np.object_,
    "start_s": np.float64,
    "down_s": np.float64,
    "train_s": np.float64,
    "up_s": np.float64,
    "end_s": np.float64,
    "compute_j": np.float64,
    "radio_j": np.float64,
    "tail_j": np.float64,
    "energy_j": np.float64,
    "energy_low_j": np.float64,
    "energy_high_j": np.float64,
    "battery_j": np.float64,
    "mains_j": np.float64,
    "down_bytes": np.int64,
    "up_bytes": np.int64,
    "down_raw_bytes": np.int64,
    "up_raw_bytes": np.int64,
    "metered": np.bool_,
    "peak_bytes": np.int64,
    "battery_before_j": np.float64,
    "battery_after_j": np.float64,
    "examples": np.int64,
    "steps": np.int64,
    "loss": np.float64,
}
"""Column -> numpy type, in file order. `energy_j` is `compute_j + radio_j` and `battery_j + mains_j`; `tail_j` is
part of `radio_j`; `reason` is what a client's own code said when it failed, text of any length."""


def _column(values: Any, kind: type, n: int) -> NDArray[Any]:
    """Return one value per row in the column's type."""
    column: NDArray[Any] = np.array(values, dtype=kind)
    return column if column.shape == (n,) else np.broadcast_to(column, (n,))


class Ledger:
    """Rows of device jobs in the order in which they were booked."""

    def __init__(self) -> None:
        self._parts: list[dict[str, NDArray[Any]]] = []
        self._starts: list[int] = []
        """The row with which each part begins."""
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Mapping[str, Any]) -> None:
        """Add n rows: one array of length n (or one scalar for all) per column of `COLUMNS`, none missing or unknown.

        Raises
        ------
        ValueError
            If columns are missing, unknown, or of different lengths.
        """
        if set(rows) != set(COLUMNS):
            raise ValueError(f"ledger: got columns {sorted(set(rows) ^ set(COLUMNS))} missing or unknown")
        n = len(np.atleast_1d(rows["device"]))
        self._parts.append({name: _column(rows[name], kind, n) for name, kind in COLUMNS.items()})
        self._starts.append(self._rows)
        self._rows += n

    def columns(self, first_row: int = 0, names: Iterable[str] = tuple(COLUMNS)) -> dict[str, NDArray[Any]]:
        """Return every column, or those of these names, as one array, from a row on."""
        if first_row >= self._rows:
            return {name: np.empty(0, dtype=COLUMNS[name]) for name in names}
        first = bisect_right(self._starts, first_row) - 1
        skipped, parts = first_row - self._starts[first], self._parts[first:]
        return {name: np.concatenate([part[name] for part in parts])[skipped:] for name in names}

    def digest(self) -> str:
        """Return the SHA-256 of every cell, column by column; text counts as UTF-8.

        The words of other people's errors do not count: they may hold paths and numbers of processes.
        """
        sha = hashlib.sha256()
        for name, values in self.columns().items():
            if values.dtype.kind == "O":
                continue
            sha.update(name.encode())
            if values.dtype.kind == "U":
                sha.update("\x1f".join(values.tolist()).encode())
            else:
                # -0.0 and 0.0 are one value: adding 0.0 turns the first into the second.
                sha.update(np.ascontiguousarray(values + 0.0 if values.dtype.kind == "f" else values).tobytes())
        return sha.hexdigest()
