"""A study that was run, as people hold it in a notebook: its runs, its tables, its page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.compose.finished import Run
from fedlite.errors import FedliteError
from fedlite.report import run_sets
from fedlite.report.figures.fronts import costs_of
from fedlite.report.noise import is_told_apart
from fedlite.report.page import figures_of
from fedlite.report.paper.write import Figures
from fedlite.report.same_result import PRICES
from fedlite.report.study_data import Study, read_study
from fedlite.report.study_page import study_page, write_study_page
from fedlite.results.directory import FORMAT, without_nan
from fedlite.results.frames import Tables

if TYPE_CHECKING:
    from fedlite.report.figure import Figure
    from fedlite.report.trade_off import TradeOffs

PAGE: Final = "study.html"
MANIFEST: Final = "study.json"
PAIRS: Final = {
    "setting": pl.String,
    "against": pl.String,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "p_at_once": pl.Float64,
    "seeds": pl.Int64,
    "told_apart": pl.Boolean,
    "told_apart_alone": pl.Boolean,
}
"""Columns of the table of pairs; `mean` is by how much the first is better, `low` and `high` its 95 % interval.

`p` is of the pair by itself (`told_apart_alone`), `p_at_once` among all pairs of the table (Holm 1979; `told_apart`).
"""


@dataclass(frozen=True)
class FinishedRun:
    """A run of a study that has results: the label of its variant, its seed, its directory."""

    label: str
    seed: int
    path: Path


@dataclass(frozen=True)
class Failure:
    """A run of a study that could not be finished, and why."""

    label: str
    seed: int
    error: str


@dataclass(frozen=True)
class Sweep(Tables, Figures):
    """A study that was run.

    Attributes
    ----------
    path : Path
        The study's directory.
    name : str
    finished : tuple of FinishedRun
        The runs that have results, in the study's order.
    failed : tuple of Failure
    reran : int
        How many of the finished runs this sweep ran or continued; the others were found finished.
    axes : tuple of str
        Two values of the summary that the study's file wants to see against each other.
    """

    path: Path
    name: str
    finished: tuple[FinishedRun, ...]
    failed: tuple[Failure, ...]
    reran: int
    axes: tuple[str, ...] = ()

    @property
    def page(self) -> Path | None:
        """The page for people; None if no run finished."""
        return self.path / PAGE if self.finished else None

    @property
    def runs(self) -> list[Run]:
        """The finished runs."""
        return [Run(run.path) for run in self.finished]

    @property
    def study(self) -> Study:
        """The finished runs, read."""
        return read_study(self._rows, self.axes)

    @property
    def settings(self) -> pl.DataFrame:
        """One row per variant: mean, range over its seeds and interval (`report.run_sets.over_seeds`)."""
        return self.study.settings

    @property
    def pairs(self) -> pl.DataFrame:
        """By how much each variant is better than each that follows, on the same seeds."""
        return pl.DataFrame(without_nan(_pairs(self.study.trade_offs)), schema=PAIRS)

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """One row per variant (`settings`), per run (`runs`), and per pair of variants (`pairs`)."""
        runs = self.study.rows
        first = ("label", "seed", "run")
        return {
            "settings": self.settings,
            "runs": runs.select(*first, pl.exclude(first)),
            "pairs": self.pairs,
        }

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of the page, by their ids."""
        return figures_of(study_page(self.study, self.path / PAGE, self.name))

    def write_page(self, path: Path | None = None) -> Path:
        """Write the page for people, into the study's directory if not told where."""
        failed = [(failure.label, failure.seed, failure.error) for failure in self.failed]
        return write_study_page(self._rows, path or self.path / PAGE, name=self.name, failed=failed, axes=self.axes)

    @property
    def _rows(self) -> list[tuple[str, int, Path]]:
        return [(run.label, run.seed, run.path) for run in self.finished]

    @property
    def summary(self) -> dict[str, Any]:
        """The object that `fedlite sweep --json` prints."""
        study = self.study if self.finished else None
        found: dict[str, Any] = without_nan(
            {
                "study_dir": str(self.path),
                "page": str(self.page) if self.page else None,
                "runs": len(self.finished),
                "reran": self.reran,
                "main_metric": vars(study.metric) if study else None,
                "best": study.trade_offs.best if study else None,
                "variants": _variants(study) if study else [],
                "pairs": _pairs(study.trade_offs) if study else [],
                "same_result": study.same_result.rows.to_dicts() if study else [],
                "same_result_pairs": _dearer(study) if study else [],
                "diverged": [
                    {"label": label, "seed": seed, "why": why} for label, seed, why in (study.untested if study else ())
                ],
                "failed": [vars(failure) for failure in self.failed],
            }
        )
        return found


def is_study(path: Path) -> bool:
    """Tell whether a directory is one that `fedlite sweep` wrote."""
    return (path / MANIFEST).is_file()


def load_study(path: str | Path) -> Sweep:
    """Return what there is of a study in a directory that `fedlite sweep` wrote, also while it is under way.

    Raises
    ------
    FedliteError
        If the directory holds none, or one of another version, or its list of runs is damaged.
    """
    folder = Path(path)
    if not is_study(folder):
        raise FedliteError(f"{folder}: got no {MANIFEST}, expected a directory that 'fedlite sweep' wrote")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, name, axes = manifest["format"], str(manifest["name"]), tuple(map(str, manifest.get("axes", ())))
        rows = [(str(row["label"]), int(row["seed"]), str(row["state"]), row["error"]) for row in manifest["runs"]]
        # By name alone: the list of a study leads nowhere but to the folders beside it.
        paths = [folder / Path(str(row["directory"])).name for row in manifest["runs"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FedliteError(
            f"{folder / MANIFEST}: damaged: {type(error).__name__}: {error}; sweep the study again: no run is repeated"
        ) from error
    if version != FORMAT:
        raise FedliteError(
            f"{folder / MANIFEST}: got format {version}, expected {FORMAT}; sweep again with this version"
        )
    failed = tuple(Failure(label, seed, str(error)) for label, seed, state, error in rows if state == "failed")
    finished = tuple(
        FinishedRun(label, seed, run)
        for (label, seed, state, _), run in zip(rows, paths, strict=True)
        if state != "failed" and (run / "summary.json").is_file()
    )
    return Sweep(folder, name, finished, failed, 0, axes)


def _variants(study: Study) -> list[dict[str, Any]]:
    """Return the variants as `--json` prints them, with the fronts that each lies on."""
    name = study.metric.name
    best = {cost.column: study.trade_offs.front(cost.column) for cost in costs_of(study.settings)}
    rows = study.settings.to_dicts()
    return [_variant(row, name, [cost for cost, labels in best.items() if row["label"] in labels]) for row in rows]


def _variant(row: dict[str, Any], name: str, on: list[str]) -> dict[str, Any]:
    ends = ("", "_min", "_max", "_low", "_high")
    return {
        "label": row["label"],
        "seeds": row["seeds"],
        **{f"{name}{end or '_mean'}": row[f"{name}{end}"] for end in ends},
        "energy_low_j": row["energy_low_j"],
        "energy_high_j": row["energy_high_j"],
        **{f"{cost}{end}": row[f"{cost}{end}"] for cost in _COSTS for end in ends},
        "epsilon_delta": row["epsilon_delta"],
        "epsilon_guards": row["epsilon_guards"],
        **(
            {"reached": row["reached"], **{f"{_TARGET}{end}": row[f"{_TARGET}{end}"] for end in ends}}
            if row["reached"] is not None
            else {}
        ),
        "front": bool(on),
        "fronts": on,
    }


def _pairs(trade_offs: TradeOffs) -> list[dict[str, Any]]:
    """Return by how much each setting is better than each that follows, on the same seeds."""
    return [
        {
            "setting": one,
            "against": other,
            **vars(found),
            "p_at_once": p,
            "told_apart": is_told_apart(p),
            "told_apart_alone": found.is_told_apart,
        }
        for (one, other), (found, p) in trade_offs.pairs().items()
    ]


def _dearer(study: Study) -> list[dict[str, Any]]:
    """Return what the same result costs each setting more than each that follows; an end that is open is null."""
    return [
        {
            "setting": one,
            "against": other,
            "price": price,
            "mean": found.found.mean,
            "low": found.low if math.isfinite(found.low) else None,
            "high": found.high if math.isfinite(found.high) else None,
            "p": found.found.p,
            "p_at_once": found.p,
            "seeds": found.found.seeds,
            "told_apart": found.is_told_apart,
        }
        for price in PRICES
        for (one, other), found in study.same_result.dearer(price).items()
    ]


_TARGET = run_sets.TIME_TO_TARGET
_COSTS = (*run_sets.COSTS, "epsilon", "down_bytes")
