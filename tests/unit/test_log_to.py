"""Rounds written for other tools as a run goes: each once, as the table has them, deciding nothing."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedlite import Settings, estimate, resume, run, sweep
from fedlite.compose import logs
from fedlite.compose.logs import About, Log
from fedlite.compose.progress import Progress
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.scenario.loader import parse_scenario

TINY = """
name: tiny
seed: 3
fleet: {devices: 4, mix: {pi-4b: 1}}
task: {data: digits, clients: 4, model: {name: mlp, options: {hidden: [4]}}}
training: {rounds: 3, clients_per_round: 2, local: {lr: 0.1}}
"""
# What is under way when the last reply comes is booked after the last round was told.
ASYNCHRONOUS = TINY.replace("clients_per_round: 2", "strategy: {name: fedbuff, buffer: 2, concurrency: 3}")


class StoppedError(Exception):
    """Stands for whatever ends a run in the middle."""


class Fake:
    """A book in memory that outlives its runs."""

    rounds, abouts, ends = [], [], []
    broken = None

    def __init__(self, folder, about):
        self.last = max((round_ for round_, _, _ in self.rounds), default=-1)
        self.abouts.append((folder, about))

    def write(self, round_, time_s, values):
        if self.broken is not None:
            raise self.broken
        self.rounds.append((round_, time_s, values))

    def close(self, *, finished):
        self.ends.append(finished)


@pytest.fixture
def fake(monkeypatch):
    class Book(Fake):
        rounds, abouts, ends = [], [], []

    module = ModuleType("fedlite.compose.logs.fake")
    module.Book = Book
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(logs.BOOKS, "fake", "json")
    return Book


def settings(*log_to):
    return Settings("local", log_to=tuple(map(str, log_to)))


def expected(rounds):
    """Return (round, end_s, values) of every row of a table of rounds."""
    return [
        (
            row["round"],
            row["end_s"],
            {key: value for key, value in row.items() if key != "round" and math.isfinite(value)},
        )
        for row in rounds.iter_rows(named=True)
    ]


def stopped(path, *log_to, after=1):
    """Run until a round has ended, and no further."""

    def stop(now):
        if now.round_ == after and now.row:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(parse_scenario(TINY), out=path, settings=settings(*log_to), progress=stop)


def _as_simulated(rounds):
    return [(*which, {key: value for key, value in values.items() if key != "wall_s"}) for *which, values in rounds]


@pytest.mark.parametrize("scenario", [TINY, ASYNCHRONOUS])
def test_every_round_is_written_once_as_the_table_has_it_and_the_digest_is_the_same(fake, tmp_path, scenario):
    plain = run(parse_scenario(scenario), out=tmp_path / "plain", settings=settings())
    done = run(parse_scenario(scenario), out=tmp_path / "run", settings=settings("fake:out/put"))
    assert fake.rounds == expected(done.rounds)
    assert len(fake.rounds) == 4
    assert "accuracy" in fake.rounds[-1][2]
    assert fake.ends == [True]
    assert done.summary["digest"] == plain.summary["digest"]
    ((folder, about),) = fake.abouts
    assert (folder, about.path, about.is_new) == (Path("out/put"), tmp_path / "run", True)
    assert about.settings["training.rounds"] == "3"


def test_a_resumed_run_goes_on_where_it_was_and_doubles_nothing(fake, tmp_path):
    stopped(tmp_path / "run", "fake:x", after=2)
    # The last round told is not written: what was under way might still have been added to it.
    assert [round_ for round_, _, _ in fake.rounds] == [0, 1]
    assert fake.ends == [False]
    done = resume(tmp_path / "run", settings=settings("fake:x"))
    # How long a round took this machine is told by the process that trained it.
    assert _as_simulated(fake.rounds) == _as_simulated(expected(done.rounds))
    assert [about.is_new for _, about in fake.abouts] == [True, False]
    assert fake.ends == [False, True]


def test_every_run_of_a_study_is_logged_and_an_estimate_is_not(fake, tmp_path):
    (tmp_path / "base.yaml").write_text(TINY)
    (tmp_path / "study.yaml").write_text("name: s\nbase: base.yaml\nlist: [{wire.up: int8}]\nseeds: [1, 2]\n")
    estimate(parse_scenario(TINY), settings("fake:x"))
    assert fake.abouts == []
    done = sweep(tmp_path / "study.yaml", out=tmp_path / "out", settings=settings("fake:x"))
    assert [about.path for _, about in fake.abouts] == [run.path for run in done.finished]


def test_a_round_that_grows_is_written_as_it_was_in_the_end():
    book = Fake(Path(), About(Path(), is_new=True, settings={}))
    book.rounds = []
    log = Log(book, "fake:x")
    for round_, energy_j in ((0, 0.0), (1, 5.0), (1, 7.0)):
        row = {"round": round_, "end_s": 1.0, "energy_j": energy_j, "loss": math.nan, "wall_s": 3.0}
        log(Progress(round_, 1, 1.0, "loss", 0.0, 0.0, row=row))
    log(Progress(1, 1, 1.0, "loss", 0.0, 0.0, doing="no round"))
    assert [(round_, values) for round_, _, values in book.rounds] == [
        (0, {"end_s": 1.0, "energy_j": 0.0, "wall_s": 3.0})
    ]
    log.close(finished=True)
    assert [values["energy_j"] for _, _, values in book.rounds] == [0.0, 7.0]


def test_what_fails_on_the_way_is_warned_of_once_and_the_run_goes_on(fake, tmp_path, caplog):
    fake.broken = OSError("disk full")
    with caplog.at_level(logging.WARNING):
        done = run(parse_scenario(TINY), out=tmp_path / "run", settings=settings("fake:x"))
    warned = [record.getMessage() for record in caplog.records if "--log-to" in record.getMessage()]
    assert warned == ["--log-to fake:x: OSError: disk full; the run goes on without"]
    assert done.summary["rounds"] == 3
    assert fake.rounds == []


def test_what_cannot_be_opened_ends_the_run_before_it_begins(fake, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no")

    monkeypatch.setattr(fake, "__init__", refuse)
    with pytest.raises(FedliteError, match=r"--log-to: got fake:x, which cannot be opened \(PermissionError: no\)"):
        run(parse_scenario(TINY), out=tmp_path / "run", settings=settings("fake:x"))
    assert not (tmp_path / "run").exists()


def test_what_is_no_place_to_log_to_is_told(monkeypatch):
    with pytest.raises(UnknownNameError, match="--log-to: got 'wandb', expected one of mlflow, tensorboard"):
        settings("wandb:x")
    for text in ("tensorboard", "tensorboard:", "mlflow:http://localhost:5000"):
        with pytest.raises(FedliteError, match="a folder of this machine"):
            settings(text)
    monkeypatch.setitem(logs.BOOKS, "mlflow", "no_such_module")
    with pytest.raises(FedliteError, match=r"pip install 'fedlite\[mlflow\]'"):
        settings("mlflow:x")


def events(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = sorted(folder.glob("events.*"), key=lambda path: path.stat().st_mtime_ns)
    return [event for path in files for event in EventFileLoader(str(path)).Load() if event.summary.value]


@pytest.mark.tensorboard
def test_tensorboard_has_every_round_once_also_of_a_resumed_run(tmp_path):
    to = f"tensorboard:{tmp_path / 'logs'}"
    stopped(tmp_path / "run", to, after=2)
    assert [event.step for event in events(tmp_path / "logs" / "run")] == [0, 1]
    done = resume(tmp_path / "run", settings=settings(to))
    found = events(tmp_path / "logs" / "run")
    assert len(list((tmp_path / "logs" / "run").glob("events.*"))) == 2
    told = [
        (one.step, one.wall_time, {value.tag: value.tensor.float_val[0] for value in one.summary.value})
        for one in found
    ]
    assert all(values["wall_s"] > 0 for _, _, values in told[1:])
    for made, known in zip(_as_simulated(told), _as_simulated(expected(done.rounds)), strict=True):
        assert made[:2] == known[:2]
        assert made[2] == pytest.approx(known[2])


@pytest.mark.tensorboard
def test_runs_of_one_name_have_a_folder_each_and_a_new_run_takes_the_place_of_the_old(tmp_path):
    from fedlite.compose.logs.tensorboard import Book

    for folder, is_new in (("a", True), ("b", True), ("a", True), ("b", False)):
        book = Book(tmp_path / "logs", About(tmp_path / folder / "run", is_new=is_new, settings={}))
        assert book.last == (-1 if is_new else 0)
        book.write(0, 1.0, {"energy_j": 2.0})
        book.close(finished=True)
    assert len(events(tmp_path / "logs" / "run")) == 1
    assert len(events(tmp_path / "logs" / "run-2")) == 2


@pytest.mark.mlflow
def test_mlflow_has_every_round_once_also_of_a_resumed_run(tmp_path):
    from mlflow import MlflowClient

    from fedlite.compose.logs.mlflow import Book

    path, to = tmp_path / "a 'run'", f"mlflow:{tmp_path / 'logs'}"
    stopped(path, to, after=2)
    client = MlflowClient(f"sqlite:///{tmp_path / 'logs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fedlite").experiment_id
    (begun,) = client.search_runs([experiment])
    assert begun.info.status == "KILLED"
    done = resume(path, settings=settings(to))
    (found,) = client.search_runs([experiment])
    assert (found.info.run_id, found.info.status, found.info.run_name) == (begun.info.run_id, "FINISHED", "a 'run'")
    assert found.data.params["training.rounds"] == "3"
    rounds = expected(done.rounds)
    for name in ("energy_j", "accuracy"):
        history = [(one.step, one.timestamp, one.value) for one in client.get_metric_history(found.info.run_id, name)]
        assert history == [(round_, round(end_s * 1000), values[name]) for round_, end_s, values in rounds]
    # Another run in the same place, once that one was removed, is another run.
    anew = Book(tmp_path / "logs", About(path, is_new=True, settings={}))
    assert anew.last == -1
    anew.write(0, 1.0, {"end_s": 1.0})
    assert Book(tmp_path / "logs", About(path, is_new=False, settings={})).last == 0
