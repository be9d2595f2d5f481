"""What a run takes is told from its first rounds: projected by rounds, measured, and nothing is left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedlite import estimating
from fedlite.cli.main import app
from fedlite.compose.pools import Lasting
from fedlite.errors import FedliteError
from fedlite.estimating import Span, estimate, estimate_study, whole
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: tiny
fleet:
  devices: 8
  mix: {pixel-4: 100 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp}
training: {strategy: fedavg, rounds: 40, clients_per_round: 4}
"""
STUDY = "name: two\nbase: tiny.yaml\ngrid: {wire.up: [fp32, int8]}\nseeds: [1, 2, 3]\n"
LOCAL = Settings("local")


class StopError(Exception):
    """Ends an estimate where it would begin to run."""


def test_rounds_after_the_first_are_what_the_others_will_take():
    # Begun at 10, rounds of 5 (warming up), 1, 2 and 3 seconds, and 4 more to write what came of it.
    found = whole([10.0, 15.0, 16.0, 18.0, 21.0, 25.0], 104)
    assert found == Span(9.0 + 103 * 2.0, 9.0 + 103 * 1.0, 9.0 + 103 * 3.0)


def test_a_test_after_the_last_round_alone_is_not_counted_for_each():
    found = whole([0.0, 5.0, 6.0, 8.0, 58.0, 60.0], 14, tests_last_alone=True)
    assert found == Span(57.0 + 12 * 1.5, 57.0 + 12 * 1.0, 57.0 + 12 * 2.0)


def test_a_run_that_was_tried_whole_may_be_quicker_or_slower_when_it_is_run():
    assert whole([0.0, 5.0, 6.0, 8.0, 9.0], 3) == Span(9.0, 8.0, 10.0)


def test_a_single_round_stands_for_all():
    assert whole([0.0, 3.0, 4.0], 3) == Span(10.0, 10.0, 10.0)


def test_an_estimate_comes_from_rounds_that_were_run_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    found = estimate(parse_scenario(SCENARIO), LOCAL, lambda now: seen.append(now.round_))
    assert seen == [0, 1, 2, 3, 4]
    assert (found.rounds, found.tried_rounds, found.backend, found.start_s) == (40, 4, "local", 0.0)
    time_s = found.wall_time_s
    assert 0 < time_s.low <= time_s.value <= time_s.high
    # torch alone is a hundred megabytes.
    assert 1e8 < found.memory_bytes < 1e11
    assert list(tmp_path.iterdir()) == []


def test_a_round_that_is_told_twice_is_counted_once(monkeypatch):
    """As the last one is, where what was under way when it closed adds to it."""
    counted = []

    def twice(short, *, progress, **options):
        return run(short, progress=lambda now: (progress(now), progress(now)), **options)

    monkeypatch.setattr(estimating, "run", twice)
    monkeypatch.setattr(estimating, "whole", lambda stamps, *_, **__: counted.append(len(stamps)))
    estimate(parse_scenario(SCENARIO), LOCAL)
    # The beginning, four rounds, the end.
    assert counted == [6]


def test_bytes_on_disk_are_at_least_those_of_the_whole_run_and_not_far_above(tmp_path):
    scenario = parse_scenario(SCENARIO)
    found = estimate(scenario, LOCAL)
    done = run(scenario, out=tmp_path / "run", settings=LOCAL)
    really = sum(one.stat().st_size for one in done.path.rglob("*") if one.is_file())
    assert 0.98 * really <= found.kept_bytes <= 1.5 * really
    assert found.journal_bytes > 40 * 4 * 1000


def test_as_many_rounds_are_tried_as_it_takes_to_test_one(monkeypatch):
    monkeypatch.setattr(estimating, "run", lambda short, **_: (_ for _ in ()).throw(StopError(short.training.rounds)))
    for every, rounds in ((1, 4), (7, 7), (0, 4), (90, 40)):
        with pytest.raises(StopError, match=f"^{rounds}$"):
            estimate(parse_scenario(SCENARIO.replace("rounds: 40", f"rounds: 40, evaluate_every: {every}")), LOCAL)


def test_the_backend_is_that_of_the_whole_run(monkeypatch):
    used = []

    def stand_in(_, *, settings, **__):
        used.append(settings.backend)
        raise StopError

    monkeypatch.setattr(estimating, "run", stand_in)
    monkeypatch.setattr(Lasting, "start", lambda _: None)
    monkeypatch.setattr("fedlite.compose.backend.RUN_MACS", 100e6)
    monkeypatch.setattr("fedlite.compose.backend.ROUND_MACS", 1.0)
    monkeypatch.setattr("fedlite.compose.backend.usable_processors", lambda: 2)
    for rounds in (1, 1000):
        with pytest.raises(StopError):
            estimate(parse_scenario(SCENARIO.replace("rounds: 40", f"rounds: {rounds}")), Settings("auto"))
    assert used == ["local", "ray"]


@pytest.fixture
def study(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_study_is_the_sum_of_the_runs_that_are_left(study, tmp_path):
    out = tmp_path / "out"
    CliRunner().invoke(app, ["sweep", str(study), "--out", str(out), "--backend", "local", "--seed-free"])
    told = []
    found = estimate_study(study, out=out, settings=LOCAL, progress=lambda *now: told.append(now))
    counts = {label: count for label, count, _ in found.settings}
    # With one seed done of each.
    assert (found.runs, list(counts.values()), told) == (4, [2, 2], [(1, 2), (2, 2)])
    each = [one for _, _, one in found.settings]
    assert found.wall_time_s.value == pytest.approx(sum(2 * one.wall_time_s.value for one in each))
    assert found.memory_bytes == max(one.memory_bytes for one in each)
    kept, journals = sum(2 * one.kept_bytes for one in each), [one.journal_bytes for one in each]
    assert found.disk_bytes == pytest.approx(found.shared_bytes + kept + max(journals))
    # Which draws the figures of all pages, once beside the runs and once in the study's own page.
    (script,) = out.glob("plotly-*.js")
    assert found.shared_bytes == 2 * script.stat().st_size
    runs = [file.stat().st_size for file in out.glob("*-seed-*/**/*") if file.is_file()]
    assert 0.9 * sum(runs) <= sum(one.kept_bytes for one in each) <= sum(runs) + found.shared_bytes / 2


def test_the_commands_tell_it(study, tmp_path):
    asked = ["run", str(tmp_path / "tiny.yaml"), "--backend", "local", "--estimate"]
    shown = CliRunner().invoke(app, asked).output
    assert all(f"\n{what}: " in f"\n{shown}" for what in ("wall time", "memory", "disk"))
    assert "from 4 of 40 rounds, really run (local)" in shown
    record = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert record["wall_time_s"]["value"] > 0
    assert "for the program to start" in shown
    # Python and torch take a second or so, and this process is older.
    assert record["program_s"] > 0.5
    of_study = ["sweep", str(study), "--out", str(tmp_path / "none"), "--backend", "local", "--estimate"]
    assert "for 6 runs, one after the other" in CliRunner().invoke(app, of_study).output
    assert not (tmp_path / "none").exists()
    assert len(json.loads(CliRunner().invoke(app, [*of_study, "--json"]).output)["settings"]) == 2
    refused = CliRunner().invoke(app, ["run", "--resume", str(tmp_path), "--estimate"])
    assert isinstance(refused.exception, FedliteError)
    assert np.isfinite(record["kept_bytes"])
