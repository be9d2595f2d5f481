"""The life of a campaign: prepare, train, write, resume. It is the same whoever serves and whatever clients compute."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fedlite.compose import logs
from fedlite.compose.app_campaign import AppCampaign
from fedlite.compose.app_request import APP_FILE
from fedlite.compose.backend import START_S, choose
from fedlite.compose.finished import Run, completed, damage
from fedlite.compose.logs import About
from fedlite.compose.pools import Lasting, check_backend, open_pool
from fedlite.compose.program import ProgramRecord
from fedlite.compose.progress import Progress, noted
from fedlite.compose.record import Particulars, Record, Trained
from fedlite.compose.round_log import RoundLog
from fedlite.compose.scenario_campaign import ScenarioCampaign
from fedlite.errors import EngineLostError, FedliteError
from fedlite.fleet.ledger import Ledger
from fedlite.flower.exchange import Runtime
from fedlite.flower.grid import FleetGrid, RoundPolicy
from fedlite.learning.training.accelerator import find
from fedlite.report.run_sets import flattened
from fedlite.results.directory import RunDirectory
from fedlite.scenario.dump import dump_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fedlite.compose.backend import Choice, Load, Wanted
    from fedlite.compose.program import Program
    from fedlite.engine.pool import Pool
    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet
    from fedlite.learning.objectives import Metric
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.scenario.schema import FleetScenario

    Watcher = Callable[[Progress], None] | None

R = TypeVar("R", bound=Runtime)

_log = logging.getLogger(__name__)


class Campaign(Protocol[R]):
    """A campaign that is ready to train: what differs between a scenario's own and that of a Flower app."""

    @property
    def name(self) -> str:
        """What run directories are called after."""

    @property
    def scenario(self) -> FleetScenario:
        """The fleet, the seed, and what the server waits for."""

    @property
    def fleet(self) -> Fleet:
        """The simulated devices."""

    @property
    def worker(self) -> WorkerSpec:
        """How an actor builds what computes the clients' jobs."""

    @property
    def load(self) -> Load | None:
        """What it expects to train, for the choice of a backend; None if nobody knows."""

    @property
    def policy(self) -> RoundPolicy:
        """When rounds close, and how failures show."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """What tests of the global model may tell, the main one first."""

    @property
    def program(self) -> Program:
        """What the run's bits rest on beside the scenario."""

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """What a resumed run needs to know beside the scenario: JSON objects by file name."""

    def runtime(self, pool: Pool) -> R:
        """Return what answers the grid's messages."""

    def serve(self, grid: FleetGrid, log: RoundLog, accelerator: Accelerator) -> Trained:
        """Train from the first round to the last, close each, and return the model; what tests it may compute there."""

    def particulars(self, record: Record, runtime: R) -> Particulars:
        """Return what this kind of campaign adds to the record of its run."""


def run(
    scenario: FleetScenario,
    prepare: Callable[[], Campaign[R]],
    *,
    out: Path | None,
    settings: Wanted,
    progress: Watcher,
) -> Run:
    """Run a campaign from the beginning and return where its results are.

    Parameters
    ----------
    scenario : FleetScenario
    prepare : callable
        Makes the campaign; whatever a user can mend shows there, before anything is written.
    out : Path, optional
        Run directory, new or without a run in it; the next free `runs/NAME-001` if not given.
    settings : Wanted
        Backend, actors, Ray address, accelerator, logs.
    progress : callable, optional
        Called as the engine starts and after every round.

    Raises
    ------
    FedliteError
        Whatever a user can mend.
    """
    began_s = time.perf_counter()
    check_backend(settings)
    accelerator = find(settings.accelerator)
    text = dump_scenario(scenario)
    if out is not None:
        RunDirectory.refuse_used(out, text)
    campaign = prepare()
    new = out is None or not out.exists()
    directory = RunDirectory(out) if out is not None else RunDirectory.next_free(Path("runs"), campaign.name)
    with directory.held():
        RunDirectory.refuse_used(directory.path, text)
        try:
            # What an app's run that never began may have left would make this one resume as that.
            (directory.path / APP_FILE).unlink(missing_ok=True)
            for name, content in campaign.files.items():
                directory.write_json(name, content)
            record = ProgramRecord(campaign.program.on(accelerator))
            record.write(directory)
            directory.write_text("scenario.yaml", text)
            return _finish(campaign, directory, record, settings, accelerator, progress, began_s)
        except EngineLostError:
            raise
        except (FedliteError, KeyboardInterrupt) as error:
            # A run that was stopped goes on, if it had begun.
            if new and not (directory.has_begun and isinstance(error, KeyboardInterrupt)):
                directory.forget_beginning()
            raise


def resume(path: Path, *, settings: Wanted, progress: Watcher) -> Run:
    """Continue an interrupted run of either kind to the bit-identical result; a finished one is returned as it is.

    A finished run of which a file is missing or damaged is trained again.

    Raises
    ------
    FedliteError
        If the folder holds no run, or what was run is not what it was.
    """
    if not path.is_dir():
        raise FedliteError(f"--resume: got {path}, which is no folder; expected the directory of an interrupted run")
    directory = RunDirectory(path)
    with directory.held():
        lost = None
        if directory.has_summary and directory.failure is None:
            ProgramRecord.read(directory)
            lost = damage(directory)
            if lost is None:
                return completed(directory)
        began_s = time.perf_counter()
        check_backend(settings)
        accelerator = find(settings.accelerator)
        campaign = _reopen(directory)
        record = ProgramRecord.read(directory).go_on(campaign.program.on(accelerator), directory)
        if lost is not None:
            _log.warning("%s; the run is trained again", str(lost).rpartition("; ")[0])
        directory.forget_end()
        return _finish(campaign, directory, record, settings, accelerator, progress, began_s)


def _reopen(directory: RunDirectory) -> Campaign[Any]:
    kind = AppCampaign if (directory.path / APP_FILE).exists() else ScenarioCampaign
    return kind.reopen(directory)


def _finish(
    campaign: Campaign[R],
    directory: RunDirectory,
    begun: ProgramRecord,
    settings: Wanted,
    accelerator: Accelerator,
    progress: Watcher,
    began_s: float,
) -> Run:
    """Train, as far as the journal does not have it already, and write what came of it; tell those who log it."""
    journal = directory.journal
    is_new = not (journal.exists() and journal.stat().st_size)
    about = About(directory.path, is_new, flattened(dump_scenario(campaign.scenario)))
    with logs.opened(settings.log_to, about) as books:
        return _train(campaign, directory, begun, settings, accelerator, progress, books, began_s)


def _train(
    campaign: Campaign[R],
    directory: RunDirectory,
    begun: ProgramRecord,
    settings: Wanted,
    accelerator: Accelerator,
    progress: Watcher,
    books: Sequence[logs.Log],
    began_s: float,
) -> Run:
    """Train and write; a run of which nothing came is an error for those who log it, too."""
    scenario = campaign.scenario
    ledger = Ledger()
    choice = choose(settings, campaign.load)
    if progress is not None and settings.backend != "local":
        progress(_starting(campaign, choice, up=isinstance(settings, Lasting) and settings.up))
    worker = replace(campaign.worker, where={"accelerator": asdict(accelerator)})
    pool = open_pool(worker, settings, choice.backend, directory.journal, begun.program.digest)
    try:
        runtime = campaign.runtime(pool)
        grid = FleetGrid(campaign.fleet, runtime, ledger, policy=campaign.policy, start_s=scenario.fleet.start_s)
        watchers: list[Callable[[Progress], None]] = [*books, *([] if progress is None else [progress])]
        log = RoundLog(grid, campaign.metrics, noted(directory, watchers))
        trained = campaign.serve(grid, log, accelerator)
        log.settle()
        record = Record(
            directory=directory,
            scenario=scenario,
            fleet=campaign.fleet,
            ledger=ledger,
            rounds=log.table,
            trained=trained,
            tracebacks=runtime.tracebacks,
            end_s=grid.clock.now_s,
            wall_s=time.perf_counter() - began_s,
            engine=pool.description,
            choice=choice,
            begun=begun,
            accelerator=accelerator,
        )
    finally:
        pool.close()
    finished = record.write(campaign.name, campaign.particulars(record, runtime))
    directory.forget_progress()
    if trained.failure is not None:
        again = f"try again with another --out, or, if no file of the app had to change, with --resume {directory.path}"
        trained.failure.args = (f"{trained.failure}\nwhat happened until then: {directory.report}; {again}",)
        raise trained.failure
    return finished


def _starting(campaign: Campaign[R], choice: Choice, *, up: bool) -> Progress:
    ray = "on Ray" if up else f"starting Ray ({START_S})"
    doing = f"{ray if choice.backend == 'ray' else 'no Ray'}: {choice.why}"
    return Progress(0, 0, 0.0, campaign.metrics[0].name, math.nan, 0.0, doing=doing)
