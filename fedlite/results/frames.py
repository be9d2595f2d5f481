"""Tables of results for the tools of the house: polars frames, pandas where it is installed, CSV."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars.exceptions import PolarsError

from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    import polars as pl


class Tables(ABC):
    """What has tables, by name."""

    @property
    @abstractmethod
    def tables(self) -> dict[str, pl.DataFrame]:
        """Every table as a polars frame."""

    def to_pandas(self, table: str) -> Any:
        """Return a table as a `pandas.DataFrame`.

        Raises
        ------
        UnknownNameError
            If there is no such table.
        FedliteError
            If pandas, or pyarrow by which it is handed over, is not installed.
        """
        found = self.tables
        if table not in found:
            raise UnknownNameError("table", table, list(found))
        try:
            return found[table].to_pandas()
        except ModuleNotFoundError as error:
            raise FedliteError(
                f"to_pandas: got no module {error.name or 'pandas'}, expected pandas and pyarrow;"
                " install the extra: pip install 'fedlite[pandas]'"
            ) from error

    def write_csv(self, folder: str | Path) -> list[Path]:
        """Write every table as `NAME.csv` into a folder, over what an earlier call wrote; return the files.

        Raises
        ------
        FedliteError
            If they cannot be written.
        """
        return [_written(frame, Path(folder) / f"{name}.csv") for name, frame in self.tables.items()]


def _written(frame: pl.DataFrame, path: Path) -> Path:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(part)
        part.replace(path)
    except (OSError, PolarsError) as error:
        raise FedliteError(
            f"{path}: got {error} while writing, expected a folder with room and permission; choose another"
        ) from error
    return path
