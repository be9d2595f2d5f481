"""A rehearsed rollout as people hold it in a notebook: its summary, its tables, its figures, its page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlite.report.page import figures_of
from fedlite.report.paper.write import Figures
from fedlite.report.rollout_data import SUMMARY, read_rollout
from fedlite.report.rollout_page import rollout_page, write_rollout_report
from fedlite.report.rollout_tables import frames
from fedlite.results.frames import Tables

if TYPE_CHECKING:
    import polars as pl

    from fedlite.report.figure import Figure


@dataclass(frozen=True)
class Rollout(Tables, Figures):
    """Finished rehearsals in their directory."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The object that `fedlite rollout --json` prints."""
        summary: dict[str, Any] = json.loads((self.path / SUMMARY).read_text(encoding="utf-8"))
        return summary

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """`worlds`, `classes`, `rehearsals`, `coverage` and `gates` (`report.rollout_tables.frames`)."""
        return frames(read_rollout(self.path))

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of the page, by their ids."""
        return figures_of(rollout_page(read_rollout(self.path)))

    def write_page(self, path: Path | None = None) -> Path:
        """Write the page for people, into the rollout's directory if not told where."""
        return write_rollout_report(self.path, path)


def load_rollout(path: str | Path) -> Rollout:
    """Return the rehearsed rollout in a directory that `fedlite rollout` wrote.

    Raises
    ------
    FedliteError
        If there is none, it has not finished, or its files are damaged or of another version.
    """
    return Rollout(read_rollout(Path(path)).path)
