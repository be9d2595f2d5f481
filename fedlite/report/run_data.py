"""Reading a finished run directory, with a clear refusal of anything that is not one."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from polars.exceptions import PanicException, PolarsError
from safetensors import SafetensorError, safe_open

from fedlite.errors import FedliteError
from fedlite.report.measure import metrics_of
from fedlite.report.words import number
from fedlite.results.directory import FORMAT, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fedlite.learning.objectives import Metric

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "rounds": (
        *("round", "start_s", "end_s", "eligible", "selected", "arrived", "late", "surplus", "failed", "energy_j"),
        *("energy_low_j", "energy_high_j", "up_bytes", "down_bytes", "loss", "train_loss"),
    ),
    "clients": (
        *("round", "kind", "device", "profile", "tier", "plan", "access", "outcome", "start_s", "down_s", "train_s"),
        *("up_s", "end_s", "compute_j", "radio_j", "tail_j", "energy_j", "energy_low_j", "energy_high_j", "battery_j"),
        *("mains_j", "down_bytes", "up_bytes", "down_raw_bytes", "up_raw_bytes", "metered", "peak_bytes"),
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


class DamagedRunError(NotARunError):
    """A run had finished, but a file of it is missing, or is not what fedlite wrote."""


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
def fitting(*paths: Path, what: str = "run", remedy: str = "run the scenario again") -> Iterator[None]:
    """Tell of runs (or of `what` else) whose files can be read but say what no run says.

    What a page is made of is checked where it is read, by name; the types of thousands of values are not.

    Raises
    ------
    DamagedRunError
        In place of what damaged values make of the code that reads them.
    """
    try:
        yield
    except _DAMAGE as error:
        where, line = ", ".join(map(str, paths)), " ".join(str(error).split())[:_LONGEST]
        raise DamagedRunError(
            f"{where}: got values that no {what} has ({type(error).__name__}: {line}), expected what fedlite wrote;"
            f" copy the files back, or {remedy} with another --out"
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
        If it is no run, or one that has not finished, or of another version.
    DamagedRunError
        If a file of it or a column is missing or cannot be read.
    """
    if not path.is_dir():
        raise NotARunError(f"{path}: no such run directory; give a directory that `fedlite run` wrote")
    summary = _json(path / "summary.json")
    if summary.get("format", FORMAT) != FORMAT:
        raise NotARunError(
            f"{path}: got format {summary['format']}, expected {FORMAT}; it was written by another version of fedlite,"
            " run the scenario again with this one"
        )
    absent = [key for key in (*SUMMARY_KEYS, "format") if key not in summary]
    if absent:
        raise _lacking(path / "summary.json", ", ".join(absent))
    tables = {name: _table(path / f"{name}.parquet", COLUMNS[name]) for name in COLUMNS}
    rounds, evaluation = tables["rounds"].collect(), tables["evaluation"].collect()
    try:
        metrics = metrics_of(summary, rounds)
    except (KeyError, TypeError, FedliteError) as error:
        raise _damaged(path / "summary.json", f"main_metric: got {error}") from error
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


def summary_value(summary: Mapping[str, Any], name: str) -> float:
    """Return a number of a run's summary by its dotted name, or a metric by its own; not-a-number if there is none."""
    value: Any = summary
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    found = number(value)
    return found if math.isfinite(found) else number((summary.get("metrics") or {}).get(name))


def has_value(summary: Mapping[str, Any], name: str) -> bool:
    """Tell whether a run's summary has such a number, be it that this run did not come to one (null)."""
    value: Any = summary
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return name in (summary.get("metrics") or {})
        value = value[key]
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def check_model(path: Path) -> None:
    """Open the final model of the run in `path`, of which reports read nothing.

    Raises
    ------
    DamagedRunError
        If it is missing, cut off, or not the one that the run wrote.
    """
    model = path / "model.safetensors"
    _check_file(model)
    # Runs of versions that did not write it down cannot be told from others.
    written = _json(path / "summary.json").get("model_sha256")
    if written is not None and sha256_of(model) != written:
        raise _damaged(model, "not the bytes that the run wrote, by their SHA-256 in summary.json")
    try:
        with safe_open(model, "np"):
            pass
    except (OSError, SafetensorError) as error:
        raise _damaged(model, f"not a safetensors file ({error})") from error


_BEGINNING: Final = frozenset({"scenario.yaml", "program.json"})
"""What a run must still have to be trained again: what it was, and what program began it."""


def _remedy(path: Path) -> str:
    """Return what helps where a file of a run is gone or damaged."""
    run = path.parent
    if path.name not in _BEGINNING and all((run / name).is_file() for name in _BEGINNING):
        return f"copy it back, or train the run again with --resume {run}"
    return "copy it back, or run the scenario again with another --out"


def _damaged(path: Path, what: str) -> DamagedRunError:
    return DamagedRunError(f"{path}: damaged: {what}; {_remedy(path)}")


def _lacking(path: Path, what: str) -> DamagedRunError:
    """The file is whole: it may also be of a version that had less to say."""
    told = f"{path}: lacks {what}, so it is damaged or of another version of fedlite"
    return DamagedRunError(f"{told}; {_remedy(path)}")


def _check_file(path: Path) -> None:
    run = path.parent
    if path.is_file():
        return
    if path.exists():
        raise NotARunError(f"{path}: got no plain file, expected what fedlite wrote; remove it and {_remedy(path)}")
    if (run / "summary.json").is_file():
        raise DamagedRunError(f"{path}: no such file, though the run had finished; {_remedy(path)}")
    if (run / "scenario.yaml").is_file():
        raise NotARunError(f"{path}: no such file, so the run has not finished; finish it with --resume {run}")
    raise NotARunError(f"{path}: no such file, so this is no run; give a directory that `fedlite run` wrote")


def _text(path: Path) -> str:
    _check_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 text ({error.reason} at byte {error.start})") from error


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, f"{error.msg} in line {error.lineno}, column {error.colno}, expected JSON") from error
    if not isinstance(found, dict):
        raise _damaged(path, f"got {type(found).__name__}, expected a JSON object")
    return found


def _table(path: Path, columns: tuple[str, ...]) -> pl.LazyFrame:
    _check_file(path)
    try:
        frame = pl.scan_parquet(path, glob=False)
        present = frame.collect_schema().names()
    except (*_POLARS, OSError) as error:
        line = " ".join(str(error).split())[:_LONGEST]
        raise _damaged(path, f"not a Parquet file ({line})") from error
    _check_columns(path, present, columns)
    return frame


def _check_columns(path: Path, present: Sequence[str], columns: Sequence[str]) -> None:
    absent = [column for column in columns if column not in present]
    if absent:
        raise _lacking(path, f"the columns {', '.join(absent)}")
