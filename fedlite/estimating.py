"""What a run or a study will take of this computer, told before it starts: its first rounds are really run.

Nothing is guessed from counts of operations: the data, the backend and the machine are those of the run itself, so an
estimate takes as long as a few rounds. What it cannot see is what changes later, such as a net that grows.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, Self

import psutil

from fedlite.compose.backend import choose
from fedlite.compose.pools import Lasting, open_engine
from fedlite.compose.scenario_campaign import ScenarioCampaign
from fedlite.compose.study_runs import State, study_runs
from fedlite.report import drawing
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run
from fedlite.scenario.study import load_study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from fedlite.compose.progress import Progress
    from fedlite.compose.study_runs import StudyRun
    from fedlite.scenario.schema import Scenario

ROUNDS: Final = 4
"""Rounds that are tried, or so many that one is tested: the first warms up, the others are timed."""
_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class Span:
    """Seconds, from the quickest to the slowest of the rounds that were timed."""

    value: float
    low: float
    high: float

    def times(self, count: int) -> Span:
        """Return so many of it, one after the other."""
        return Span(count * self.value, count * self.low, count * self.high)

    def __add__(self, other: Span) -> Span:
        return Span(self.value + other.value, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Estimate:
    """What one run takes.

    Attributes
    ----------
    rounds, tried_rounds : int
        Of the run, and of those how many were run for this.
    backend : str
    start_s : float
        Until the engine is up, once for all runs of a study; 0 without Ray.
    wall_time_s : Span
        The rest.
    memory_bytes : float
        The most that this process and those below it held at a time, what they share counted once.
    journal_bytes : float
        On disk while it runs, gone when it is finished.
    kept_bytes : float
        On disk in the end, at most: tables are compressed better the longer they are.
    """

    rounds: int
    tried_rounds: int
    backend: str
    start_s: float
    wall_time_s: Span
    memory_bytes: float
    journal_bytes: float
    kept_bytes: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class StudyEstimate:
    """What is left of a study takes.

    Attributes
    ----------
    runs : int
        That are not finished.
    settings : sequence of (label, runs, Estimate)
        Of each setting one run is tried.
    shared_bytes : float
        On disk once: what the pages of all runs share, and the study's own page holds.
    """

    runs: int
    settings: Sequence[tuple[str, int, Estimate]]
    shared_bytes: float = 0.0

    @property
    def wall_time_s(self) -> Span:
        """Of all runs, one after the other, with the start of the engine."""
        started = max((one.start_s for _, _, one in self.settings), default=0.0)
        return sum(
            (one.wall_time_s.times(count) for _, count, one in self.settings), start=Span(started, started, started)
        )

    @property
    def memory_bytes(self) -> float:
        """Of the run that takes most."""
        return max((one.memory_bytes for _, _, one in self.settings), default=0.0)

    @property
    def disk_bytes(self) -> float:
        """Of all that is kept, and the largest journal."""
        kept = self.shared_bytes + sum(count * one.kept_bytes for _, count, one in self.settings)
        return kept + max((one.journal_bytes for _, _, one in self.settings), default=0.0)

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "runs": self.runs,
            "wall_time_s": asdict(self.wall_time_s),
            "memory_bytes": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
            "settings": [{"label": label, "runs": runs, **one.record()} for label, runs, one in self.settings],
        }


def estimate(
    scenario: Scenario, settings: Settings | None = None, progress: Callable[[Progress], None] | None = None
) -> Estimate:
    """Run the first rounds of a scenario in a temporary folder, and return what the whole run takes.

    `progress` is called as by `run`.

    Raises
    ------
    FedliteError
        Whatever `run` raises.
    """
    with open_engine(settings or Settings()) as engine:
        return _estimated(scenario, engine, progress)


def estimate_study(
    study: str | Path,
    *,
    out: Path | None = None,
    settings: Settings | None = None,
    seed_free: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StudyEstimate:
    """Run the first rounds of each setting of a study that has runs left, and return what these take.

    Parameters
    ----------
    study, out, settings, seed_free
        As `sweep` takes them.
    progress : callable, optional
        Called with how many of how many settings have been tried.

    Raises
    ------
    FedliteError
        If the study is wrong, its directory holds runs of another scenario, or a setting cannot be run.
    """
    loaded = load_study(study)
    folder = out or Path("runs") / loaded.study.name
    left: dict[str, list[StudyRun]] = {}
    for one in study_runs(loaded, folder, seed_free=seed_free):
        if one.state is not State.FINISHED:
            left.setdefault(one.label, []).append(one)
    tried = []
    with open_engine(settings or Settings()) as engine:
        for label, runs in left.items():
            tried.append((label, len(runs), _estimated(runs[0].scenario, engine, in_study=True)))
            if progress is not None:
                progress(len(tried), len(left))
    # One script lies beside the runs, another is in the page of the study.
    return StudyEstimate(sum(count for _, count, _ in tried), tried, 2.0 * len(drawing.source().encode()))


def _estimated(
    scenario: Scenario,
    engine: Lasting,
    progress: Callable[[Progress], None] | None = None,
    *,
    in_study: bool = False,
) -> Estimate:
    training = scenario.training
    rounds = min(training.rounds, max(ROUNDS, training.evaluate_every))
    # The backend is that of the whole run, which its first rounds alone might not be worth.
    asked = engine.backend
    backend = choose(engine, ScenarioCampaign.prepare(scenario).load).backend if asked == "auto" else asked
    start_s = _started(engine, backend)
    settings = copy.copy(engine)
    settings.backend = backend
    settings.log_to = ()
    short = scenario.model_copy(update={"training": training.model_copy(update={"rounds": rounds})})
    with tempfile.TemporaryDirectory(prefix="fedlite-estimate-") as folder, _Memory() as memory:
        directory = Path(folder) / "run"
        if in_study:
            drawing.share(Path(folder))
        stamps, journal = [time.perf_counter()], 0

        def note(now: Progress) -> None:
            nonlocal journal
            # The last round is told again where what was under way adds to it.
            if now.round_ >= len(stamps):
                stamps.append(time.perf_counter())
                journal = max(journal, _size(RunDirectory(directory).journal))
            if progress is not None:
                progress(now)

        run(short, out=directory, settings=settings, progress=note)
        stamps.append(time.perf_counter())
        tables = sum(_size(file) for file in directory.glob("*.parquet"))
        rest = _size(directory) - tables
    scale = training.rounds / rounds
    return Estimate(
        training.rounds,
        rounds,
        backend,
        start_s,
        whole(stamps, training.rounds, tests_last_alone=training.evaluate_every == 0),
        memory.peak_bytes,
        scale * journal,
        scale * tables + rest,
    )


def whole(stamps: Sequence[float], rounds: int, *, tests_last_alone: bool = False) -> Span:
    """Return how long a run of so many rounds takes.

    Parameters
    ----------
    stamps : sequence of float
        When a shorter run began, when each of its rounds ended, and when it ended.
    rounds : int
        Not fewer than were run.
    tests_last_alone : bool
        Whether the last round took longer than those before, for the model was tested.
    """
    tried = len(stamps) - 2
    taken = [end - start for start, end in itertools.pairwise(stamps[:-1])]
    # The first round warms caches up; the whole run does so once, too.
    usual = taken[1:-1] if tests_last_alone and tried > 2 else taken[1:]  # noqa: PLR2004 (first and last)
    usual = usual or taken
    a_round = Span(fmean(usual), min(usual), max(usual))
    # What was tried will be run again, and its rounds will be quicker and slower, too.
    rest = stamps[-1] - stamps[0] - sum(usual)
    return Span(rest, rest, rest) + a_round.times(len(usual) + rounds - tried)


def _started(engine: Lasting, backend: str) -> float:
    """Start what the backend needs, and return how long that took."""
    if backend != "ray":
        return 0.0
    began_s = time.perf_counter()
    engine.start()
    return time.perf_counter() - began_s


class _Memory:
    """Watches how much memory this process and those below it hold."""

    def __init__(self) -> None:
        self.peak_bytes = 0.0
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        this = psutil.Process()
        over = False
        while not over:
            over = self._done.wait(_EVERY_S)
            self.peak_bytes = max(self.peak_bytes, sum(_held(one) for one in [this, *this.children(recursive=True)]))


def _held(process: psutil.Process) -> float:
    """Return the memory of a process, of what it shares with others its part where the system tells that."""
    try:
        told = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return float(getattr(told, "pss", told.rss))


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 if there is none."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())
