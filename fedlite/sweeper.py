"""Running a study: every variant with every seed, resumably, and one page with the trade-offs between them."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fedlite
from fedlite.compose.finished import Run
from fedlite.compose.finished_study import MANIFEST, Failure, FinishedRun, Sweep
from fedlite.compose.pools import open_engine
from fedlite.compose.study_runs import State, StudyRun, study_runs
from fedlite.errors import EngineLostError, FedliteError
from fedlite.learning.training.accelerator import find
from fedlite.report import drawing
from fedlite.results.directory import FORMAT, RunDirectory
from fedlite.runner import Settings, resume
from fedlite.runner import run as run_scenario
from fedlite.scenario.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fedlite.compose.backend import Wanted
    from fedlite.compose.progress import Progress
    from fedlite.scenario.study import LoadedStudy


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
    finished = tuple(FinishedRun(run.label, run.seed, run.path) for run in runs if run.state is State.FINISHED)
    failed = tuple(Failure(run.label, run.seed, failures[run.path]) for run in runs if run.path in failures)
    done = Sweep(directory.path, loaded.study.name, finished, failed, len(todo) - len(failed), loaded.study.axes)
    if finished:
        try:
            done.write_page()
        except FedliteError as error:
            for failure in failed:
                error.add_note(f"failed: {failure.label}, seed {failure.seed}: {failure.error}")
            raise
    return done


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
        "axes": list(study.axes),
        "study": str(loaded.path),
        "base": str(loaded.base),
        "runs": rows,
    }
    directory.write_json(MANIFEST, manifest)
