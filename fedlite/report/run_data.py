"""Reading a finished run directory, with a clear refusal of anything that is not one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from polars.exceptions import PanicException, PolarsError

from fedlite.errors import FedliteError
from fedlite.report.measure import metrics_of
from fedlite.results.directory import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fedlite.learning.objectives import Metric

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "rounds": (
        *("round", "start_s", "end_s", "eligible", "selected", "arrived", "late", "failed", "energy_j"),
        *("up_bytes", "down_bytes", "loss", "train_loss"),
    ),
    "clients": (
        *("round", "kind", "device", "profile", "tier", "plan", "access", "outcome", "start_s", "down_s", "train_s"),
        *("up_s", "end_s", "compute_j", "radio_j", "energy_j", "energy_low_j", "energy_high_j", "battery_j", "mains_j"),
        *("down_bytes", "up_bytes", "down_raw_bytes", "up_raw_bytes", "metered", "peak_bytes"),
        *("battery_before_j", "battery_after_j", "examples"),
    ),
    "evaluation": ("client", "device", "samples", "loss"),
    "fleet": (
        *("profile", "tier", "plan", "devices", "excluded_reason", "train_s_per_round", "peak_bytes"),
        *("job_ram_bytes", "participations", "arrived"),
    ),
}
"""Table -> the columns the report reads, beside those of the main metric; a run may have more."""

SUMMARY_KEYS: Final = ("name", "digest", "rounds", "virtual_time_s", "energy_j", "up_bytes", "down_bytes", "outcomes")


class NotARunError(FedliteError):
    """A directory is not a run of this version of fedlite."""


@dataclass(frozen=True)
class RunData:
    """One finished run, read only.

    `clients` is lazy (one row per device job; millions are possible), the other tables are small and read at once.
    """

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    scenario: str
    rounds: pl.DataFrame
    clients: pl.LazyFrame
    evaluation: pl.DataFrame
    fleet: pl.DataFrame
    metrics: tuple[Metric, ...]
    """What the run tells of the model, the main metric first."""

    @property
    def main(self) -> Metric:
        """The metric by which the run is judged."""
        return self.metrics[0]

    @property
    def name(self) -> str:
        """The scenario's name, or the directory's if it has none."""
        return str(self.summary.get("name") or self.path.name)


@contextmanager
def fitting(*paths: Path) -> Iterator[None]:
    """Tell of runs whose files can be read but say what no run says.

    What a page is made of is checked where it is read, by name; the types of thousands of values are not.

    Raises
    ------
    NotARunError
        In place of what damaged values make of the code that reads them.
    """
    try:
        yield
    except _DAMAGE as error:
        where, line = ", ".join(map(str, paths)), " ".join(str(error).split())[:_LONGEST]
        raise NotARunError(
            f"{where}: got values that no run has ({type(error).__name__}: {line}), expected what fedlite wrote;"
            " run the scenario again"
        ) from error


_POLARS: Final = (PolarsError, PanicException)
_DAMAGE: Final = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(NotImplementedError, RecursionError),  # comparisons of lists, nested without end
    *_POLARS,
)
_LONGEST: Final = 200


def read_run(path: Path) -> RunData:
    """Return the run in `path`.

    Raises
    ------
    NotARunError
        If the directory, a file of it or a column is missing or cannot be read.
    """
    if not path.is_dir():
        raise NotARunError(f"{path}: no such run directory; give a directory that `fedlite run` wrote")
    summary = _json(path / "summary.json")
    absent = [key for key in SUMMARY_KEYS if key not in summary]
    if absent:
        raise NotARunError(f"{path / 'summary.json'}: lacks {', '.join(absent)}; {_OTHER_VERSION}")
    if summary.get("format") != FORMAT:
        raise NotARunError(f"{path}: got format {summary.get('format')}, expected {FORMAT}; {_OTHER_VERSION}")
    tables = {name: _table(path / f"{name}.parquet", COLUMNS[name]) for name in COLUMNS}
    rounds, evaluation = tables["rounds"].collect(), tables["evaluation"].collect()
    try:
        metrics = metrics_of(summary, rounds)
    except (KeyError, TypeError, FedliteError) as error:
        raise NotARunError(f"{path / 'summary.json'}: main_metric: got {error}; {_OTHER_VERSION}") from error
    for name, frame in (("rounds", rounds), ("evaluation", evaluation)):
        _check_columns(path / f"{name}.parquet", frame.columns, (metrics[0].name,))
    return RunData(
        path=path,
        summary=summary,
        manifest=_json(path / "manifest.json"),
        scenario=_text(path / "scenario.yaml"),
        rounds=rounds,
        clients=tables["clients"],
        evaluation=evaluation,
        fleet=tables["fleet"].collect(),
        metrics=metrics,
    )


_UNFINISHED: Final = "the run has not finished or is not a run; finish it with --resume RUN_DIR"
_OTHER_VERSION: Final = "it was written by another version of fedlite; run the scenario again with this one"


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise NotARunError(f"{path}: got no plain file, expected what fedlite wrote; run the scenario again")
    if not path.exists():
        raise NotARunError(f"{path}: no such file; {_UNFINISHED}")


def _text(path: Path) -> str:
    _check_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NotARunError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); {_OTHER_VERSION}"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise NotARunError(
            f"{path}:{error.lineno}:{error.colno}: {error.msg}, expected JSON; {_OTHER_VERSION}"
        ) from error
    if not isinstance(found, dict):
        raise NotARunError(f"{path}: got {type(found).__name__}, expected a JSON object; {_OTHER_VERSION}")
    return found


def _table(path: Path, columns: tuple[str, ...]) -> pl.LazyFrame:
    _check_file(path)
    try:
        frame = pl.scan_parquet(path, glob=False)
        present = frame.collect_schema().names()
    except (*_POLARS, OSError) as error:
        line = " ".join(str(error).split())[:_LONGEST]
        raise NotARunError(f"{path}: not a Parquet file ({line}); {_OTHER_VERSION}") from error
    _check_columns(path, present, columns)
    return frame


def _check_columns(path: Path, present: Sequence[str], columns: Sequence[str]) -> None:
    absent = [column for column in columns if column not in present]
    if absent:
        raise NotARunError(f"{path}: lacks the columns {', '.join(absent)}; {_OTHER_VERSION}")
