"""Running a study: every variant with every seed, resumably, and one page with the trade-offs between them."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedlite
from fedlite.compose.finished import Run
from fedlite.compose.pools import open_engine
from fedlite.compose.study_runs import State, StudyRun, study_runs
from fedlite.errors import EngineLostError, FedliteError
from fedlite.learning.training.accelerator import find
from fedlite.report import drawing, run_sets
from fedlite.report.study_data import Study, read_study
from fedlite.report.study_page import write_study_page
from fedlite.results.directory import FORMAT, RunDirectory, without_nan
from fedlite.runner import Settings, resume
from fedlite.runner import run as run_scenario
from fedlite.scenario.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl

    from fedlite.compose.backend import Wanted
    from fedlite.compose.progress import Progress
    from fedlite.report.trade_off import TradeOffs
    from fedlite.scenario.study import LoadedStudy

PAGE = "study.html"
MANIFEST = "study.json"


@dataclass(frozen=True)
class SweepProgress:
    """How far a study is: run `number` of `runs` (from 1) is under way, `within` of it is done.

    `within` is None before its first round and once it is over; `state` is then what became of it.
    """

    number: int
    runs: int
    label: str
    seed: int
    state: State
    within: Progress | None = None


@dataclass(frozen=True)
class Failure:
    """A run of a study that could not be finished, and why."""

    label: str
    seed: int
    error: str


@dataclass(frozen=True)
class Sweep:
    """A study that was run.

    Attributes
    ----------
    path : Path
        The study's directory.
    finished : tuple of StudyRun
        The runs that have results, in the study's order.
    failed : tuple of Failure
    reran : int
        How many of the finished runs this sweep ran or continued; the others were found finished.
    axes : tuple of str
        Two values of the summary that the study's file wants to see against each other.
    """

    path: Path
    finished: tuple[StudyRun, ...]
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
        return read_study(_as_rows(self.finished), self.axes)

    @property
    def settings(self) -> pl.DataFrame:
        """One row per variant: mean, range over its seeds and interval (`report.run_sets.over_seeds`)."""
        return self.study.settings

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
                "same_result": study.same_result.to_dicts() if study else [],
                "failed": [vars(failure) for failure in self.failed],
            }
        )
        return found


def sweep(
    study: str | Path,
    *,
    out: Path | None = None,
    settings: Settings | None = None,
    seed_free: bool = False,
    progress: Callable[[SweepProgress], None] | None = None,
) -> Sweep:
    """Run whatever of a study is not finished yet, and write its page.

    A run that fails with a mistake of the user (a fleet in which nobody fits, say) is noted and does not stop the
    others. A sweep that was killed is continued by running it again: finished runs are left as they are, the
    interrupted one goes on to the bit-identical result.

    Parameters
    ----------
    study : path
        A study file.
    out : Path, optional
        The study's directory; `runs/NAME` if not given.
    settings : Settings, optional
        Ray is started once for the whole study, when the first run needs it.
    seed_free : bool
        Run each variant once, with the base scenario's own seed: a first look.
    progress : callable, optional
        Called before and after every run, as its engine starts, and after every round.

    Raises
    ------
    FedliteError
        If the study is wrong, or its directory holds runs of another scenario.
    """
    loaded = load_study(study)
    chosen = settings or Settings()
    accelerator = find(chosen.accelerator)
    directory = RunDirectory(out or Path("runs") / loaded.study.name)
    runs = study_runs(loaded, directory.path, seed_free=seed_free, accelerator=accelerator)
    failures: dict[Path, str] = {}
    todo = [run for run in runs if run.state is not State.FINISHED]
    _write_manifest(directory, loaded, runs, failures)
    drawing.share(directory.path)
    with _continued(directory), open_engine(chosen) if todo else nullcontext(chosen) as wanted:
        for run in todo:
            tell = _Narrator(progress, runs.index(run) + 1, len(runs), run)
            tell(run.state)
            try:
                _run(run, wanted, tell)
            except EngineLostError:
                raise
            except FedliteError as error:
                failures[run.path] = str(error)
            tell(State.FAILED if run.path in failures else State.FINISHED)
            _write_manifest(directory, loaded, runs, failures)
    finished = tuple(run for run in runs if run.state is State.FINISHED)
    failed = tuple(Failure(run.label, run.seed, failures[run.path]) for run in runs if run.path in failures)
    axes = loaded.study.axes
    if finished:
        not_finished = [(failure.label, failure.seed, failure.error) for failure in failed]
        write_study_page(
            _as_rows(finished), directory.path / PAGE, name=loaded.study.name, failed=not_finished, axes=axes
        )
    return Sweep(directory.path, finished, failed, len(todo) - len(failed), axes)


@contextmanager
def _continued(directory: RunDirectory) -> Iterator[None]:
    """Tell whoever stops a study, or whose engine is lost, how it goes on: not by its run alone."""
    try:
        yield
    except (KeyboardInterrupt, EngineLostError) as stop:
        stop.__notes__ = [f"Stopped. Continue with the same sweep again; {directory.path} has what is finished"]
        raise


@dataclass(frozen=True)
class _Narrator:
    """Tells the caller of a sweep how one of its runs is getting on."""

    listener: Callable[[SweepProgress], None] | None
    number: int
    runs: int
    run: StudyRun

    def __call__(self, state: State, within: Progress | None = None) -> None:
        if self.listener is not None:
            self.listener(SweepProgress(self.number, self.runs, self.run.label, self.run.seed, state, within))

    def round_(self, within: Progress) -> None:
        """Tell of a finished round."""
        self(State.INTERRUPTED, within)


def _run(run: StudyRun, settings: Wanted, tell: _Narrator) -> None:
    """Run or continue one run of the study."""
    if run.state is State.INTERRUPTED:
        resume(run.path, settings=settings, progress=tell.round_)
    else:
        run_scenario(run.scenario, out=run.path, settings=settings, progress=tell.round_)


def _as_rows(finished: Sequence[StudyRun]) -> list[tuple[str, int, Path]]:
    return [(run.label, run.seed, run.path) for run in finished]


def _write_manifest(
    directory: RunDirectory, loaded: LoadedStudy, runs: Sequence[StudyRun], failures: Mapping[Path, str]
) -> None:
    """Write which runs there are and how far each has got; a killed sweep leaves the last true state."""
    rows = [
        {
            "directory": run.path.name,
            "label": run.label,
            "seed": run.seed,
            "state": str(State.FAILED if run.path in failures else run.state),
            "error": failures.get(run.path),
            "digest": Run(run.path).summary["digest"] if run.state is State.FINISHED else None,
        }
        for run in runs
    ]
    study = loaded.study
    manifest = {
        "format": FORMAT,
        "fedlite": fedlite.__version__,
        "name": study.name,
        "description": study.description,
        "study": str(loaded.path),
        "base": str(loaded.base),
        "runs": rows,
    }
    directory.write_json(MANIFEST, manifest)


def _variants(study: Study) -> list[dict[str, Any]]:
    """Return the variants as `--json` prints them, with the fronts that each lies on."""
    name = study.metric.name
    best = {cost: study.trade_offs.front(cost) for cost in _COSTS_OF_FRONTS}
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
        **(
            {"reached": row["reached"], "time_to_target_s": row["time_to_target_s"]}
            if row["reached"] is not None
            else {}
        ),
        "front": bool(on),
        "fronts": on,
    }


def _pairs(trade_offs: TradeOffs) -> list[dict[str, Any]]:
    """Return by how much each setting is better than each that follows, on the same seeds."""
    return [
        {"setting": one, "against": other, **vars(found), "told_apart": found.is_told_apart}
        for one, other in combinations(trade_offs.labels, 2)
        for found in [trade_offs.better(one, other)]
    ]


_COSTS_OF_FRONTS = (*run_sets.COSTS, "epsilon")
_COSTS = (*_COSTS_OF_FRONTS, "down_bytes")
