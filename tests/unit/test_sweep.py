"""Studies: what is run, what is left alone, what continues, what fails, and what is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import isnan

import pytest

from fedlite import sweeper
from fedlite.compose.study_runs import directory_name
from fedlite.errors import FedliteError
from fedlite.report import drawing, run_sets
from fedlite.report.run_data import read_run, summary_value
from fedlite.report.words import number
from fedlite.runner import Settings, run
from fedlite.scenario import axes
from fedlite.scenario.loader import load_scenario, parse_scenario
from fedlite.sweeper import sweep as sweep_study

BASE = """
name: tiny
seed: 11
fleet:
  devices: 6
  mix: {pixel-4: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, clients: 6, model: {name: mlp, options: {hidden: [8]}}}
training: {rounds: 2, clients_per_round: 3, local: {lr: 0.1}}
"""
STUDY = """
name: codecs
base: base.yaml
list:
  - {label: full precision, wire.up: fp32}
  - {wire.up: int8}
seeds: [1, 2]
"""
COMMAND = [sys.executable, "-m", "fedlite.cli.main", "sweep"]
LOCAL = Settings("local")


class StoppedError(Exception):
    """Stands for whatever ends a sweep in the middle."""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def sweep(study, **options):
    return sweep_study(study, out=study.parent / "out", settings=LOCAL, **options)


def manifest(done):
    return json.loads((done.path / "study.json").read_text())


def test_every_variant_runs_with_every_seed_and_equals_a_single_run(study):
    done = sweep(study)
    assert [(run.label, run.seed) for run in done.finished] == [
        ("full precision", 1),
        ("full precision", 2),
        ("wire.up=int8", 1),
        ("wire.up=int8", 2),
    ]
    assert done.reran == 4
    assert not done.failed
    alone = run(
        load_scenario(study.parent / "base.yaml", {"wire.up": "int8", "seed": "2"}),
        out=study.parent / "alone",
        settings=LOCAL,
    )
    assert done.runs[3].summary["digest"] == alone.summary["digest"]
    assert len({run.summary["digest"] for run in done.runs}) == 4
    assert [row["digest"] for row in manifest(done)["runs"]] == [run.summary["digest"] for run in done.runs]
    assert [path.name for path in done.path.glob("*.js")] == [drawing.name()]
    assert all(f'src="../{drawing.name()}"' in (one.path / "report.html").read_text() for one in done.runs)
    assert drawing.source() in done.page.read_text()


def test_a_second_sweep_runs_nothing_and_tells_the_same(study):
    first = sweep(study)
    written = [(run.path / "summary.json").stat().st_mtime_ns for run in first.finished]
    heard = []
    again = sweep(study, progress=heard.append)
    assert again.reran == 0
    assert heard == []
    assert [(run.path / "summary.json").stat().st_mtime_ns for run in again.finished] == written
    assert again.summary["variants"] == first.summary["variants"]


def test_a_killed_sweep_continues_its_interrupted_run_to_the_same_bits(study, monkeypatch):
    def stop_in_the_second_run(now):
        if now.number == 2 and now.within is not None and now.within.round_ == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        sweep(study, progress=stop_in_the_second_run)
    out = study.parent / "out"
    states = [row["state"] for row in json.loads((out / "study.json").read_text())["runs"]]
    assert states == ["finished", "new", "new", "new"]
    resumed = []
    original = sweeper.resume
    monkeypatch.setattr(sweeper, "resume", lambda path, **k: resumed.append(path.name) or original(path, **k))
    done = sweep(study)
    assert done.reran == 3
    assert resumed == [directory_name("full precision", 2)]
    whole = run(
        load_scenario(study.parent / "base.yaml", {"wire.up": "fp32", "seed": "2"}),
        out=study.parent / "whole",
        settings=LOCAL,
    )
    assert done.runs[1].summary["digest"] == whole.summary["digest"]


def test_a_variant_that_fails_is_told_and_does_not_stop_the_others(study):
    study.write_text(
        "name: codecs\nbase: base.yaml\nlist:\n"
        "  - {label: nobody fits, fleet.budgets.memory: 1 kB}\n"
        "  - {label: everybody fits, wire.up: fp16}\n"
    )
    done = sweep(study)
    assert [run.label for run in done.finished] == ["everybody fits"]
    (failure,) = done.failed
    assert failure.label == "nobody fits"
    assert "no device class that can take part" in failure.error
    assert [row["state"] for row in manifest(done)["runs"]] == ["failed", "finished"]
    page = done.page.read_text()
    assert "nobody fits" in page
    assert "no device class that can take part" in page


def test_what_fails_with_every_seed_is_told_once_and_at_the_top(study):
    study.write_text(
        "name: codecs\nbase: base.yaml\nseeds: [1, 2]\nlist:\n"
        "  - {label: nobody fits, fleet.budgets.memory: 1 kB}\n  - {label: fine, training.rounds: 1}\n"
    )
    done = sweep(study)
    reasons = {failure.error for failure in done.failed}
    (reason,) = reasons
    assert reason.count("of memory") == 1  # of two classes
    page = done.page.read_text()
    assert "1 setting, 2 runs; 2 runs of 1 setting failed" in page
    assert page.count('id="failed"') == 1
    assert ">1, 2<" in page


def test_a_study_of_which_nothing_finishes_has_no_page_but_its_failures(study):
    study.write_text("name: s\nbase: base.yaml\nlist: [{label: none, fleet.budgets.memory: 1 kB}]\n")
    done = sweep(study)
    assert done.page is None
    assert done.summary["variants"] == []
    assert len(done.summary["failed"]) == 1


def test_the_summary_holds_means_ranges_and_fronts(study):
    done = sweep(study)
    full, int8 = done.summary["variants"]
    values = [run.summary for run in done.runs[:2]]
    accuracies = [value["metrics"]["accuracy"] for value in values]
    assert full["seeds"] == 2
    assert full["accuracy_mean"] == pytest.approx(sum(accuracies) / 2)
    assert (full["accuracy_min"], full["accuracy_max"]) == (min(accuracies), max(accuracies))
    # Of two seeds nobody knows the noise.
    assert (full["accuracy_low"], full["accuracy_high"]) == (None, None)
    assert full["energy_j"] == pytest.approx(sum(value["energy_j"] for value in values) / 2)
    assert full["up_bytes_max"] == max(value["up_bytes"] for value in values)
    assert full["virtual_time_s_min"] == min(value["virtual_time_s"] for value in values)
    assert int8["up_bytes"] < full["up_bytes"] / 3
    # Nothing is cheaper in bytes than the smaller codec, so no other variant can beat it there.
    assert "up_bytes" in int8["fronts"]
    assert int8["front"]
    (pair,) = done.summary["pairs"]
    assert (pair["setting"], pair["against"], pair["seeds"]) == ("full precision", "wire.up=int8", 2)
    assert pair["mean"] == pytest.approx(full["accuracy_mean"] - int8["accuracy_mean"])
    assert (pair["p"], pair["p_at_once"], pair["told_apart"], done.summary["best"]) == (1.0, 1.0, False, None)
    assert [row["label"] for row in done.summary["same_result"]] == ["full precision", "wire.up=int8"]
    same = {row["price"]: row for row in done.summary["same_result_pairs"]}
    assert list(same) == ["time_s", "up_bytes", "energy_j"]
    assert same["up_bytes"]["mean"] > 0
    assert done.summary["diverged"] == []
    assert json.loads(json.dumps(done.summary)) == done.summary


def test_seed_free_runs_each_variant_once_with_the_seed_of_the_base(study):
    done = sweep(study, seed_free=True)
    assert [(run.label, run.seed) for run in done.finished] == [("full precision", 11), ("wire.up=int8", 11)]


def test_a_changed_study_is_refused_before_anything_runs(study):
    sweep(study, seed_free=True)
    (study.parent / "base.yaml").write_text(BASE.replace("lr: 0.1", "lr: 0.2"))
    with pytest.raises(FedliteError, match=r"got a run of another scenario.*remove the directory"):
        sweep(study, seed_free=True)


def test_more_seeds_only_run_what_is_new(study):
    sweep(study)
    study.write_text(STUDY.replace("[1, 2]", "[1, 2, 3]"))
    assert sweep(study).reran == 2


def test_two_variants_of_one_label_are_refused(study):
    study.write_text("name: s\nbase: base.yaml\nlist: [{label: a, wire.up: fp16}, {label: a, wire.up: int8}]\n")
    with pytest.raises(FedliteError, match="the label 'a' for several variants"):
        sweep(study)


def test_every_number_that_may_be_an_axis_is_one_of_a_run(tmp_path):
    changed = BASE.replace("rules: {", "protocol: production\n  rules: {").replace(
        "rounds: 2,", "rounds: 2, target_accuracy: 0.01,"
    )
    private = "privacy: {mechanism: server-fixed-clipping, noise_multiplier: 1, clipping_norm: 1, delta: 1e-5}\n"
    scenario = parse_scenario(changed + private)
    found = read_run(run(scenario, out=tmp_path / "run", settings=LOCAL).path)
    rows = run_sets.totals([found], ["run"])
    known = axes.numbers_of(scenario)
    assert [name for name in known if name not in rows.columns and isnan(summary_value(found.summary, name))] == []
    numbers = {name for name, value in found.summary.items() if not isnan(number(value))}
    assert numbers - set(known) == {"format", "seed"}


def test_a_class_without_a_device_is_no_class_of_the_fleet(tmp_path):
    mix = "mix: {pixel-4: 98 %, pi-4b: 1 %, esp32-s3: 1 %}"
    scenario = parse_scenario(BASE.replace("mix: {pixel-4: 50 %, pi-4b: 50 %}", mix))
    done = run(scenario, out=tmp_path / "run", settings=LOCAL)
    assert done.fleet["profile"].to_list() == ["pixel-4"]
    assert done.summary["excluded"] == []
    assert [one["profile"] for one in done.summary["inference"]] == ["pixel-4"]
    # Nobody of the six has the class that would fit.
    with pytest.raises(FedliteError, match=r"can take part \(pixel-4: training needs"):
        run(parse_scenario(BASE.replace("mix: {pixel-4: 50 %, pi-4b: 50 %}", f"{mix}\n  budgets: {{memory: 1 kB}}")))


def test_directories_are_readable_and_distinct():
    assert directory_name("wire.up=int8+zstd", 3) == "wire.up=int8+zstd-seed-3"
    labels = ("top 10 %", "top-10-%", "top/10/%", "a" * 200, "a" * 201, "..", "/")
    names = {directory_name(label, 1) for label in labels}
    assert len(names) == 7
    long = "training.local.lr=0.1, training.local.epochs=2, wire.up=topk:0.05+fp16+zstd, wire.down=int8"
    assert directory_name(long, 1).startswith("lr=0.1-epochs=2-up=topk-0.05+fp16+zstd-down=int8-")
    assert directory_name("café", 1).startswith("cafe-")
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in names)


def test_the_command_prints_one_line_of_json_and_tells_failures_by_its_exit_code(study):
    study.write_text(
        "name: s\nbase: base.yaml\n"
        "list: [{label: none, fleet.budgets.memory: 1 kB}, {label: all, training.rounds: 1}]\n"
    )
    done = subprocess.run(
        [*COMMAND, str(study), "--out", str(study.parent / "out"), "--backend", "local", "--json", "--seed-free"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 5, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [variant["label"] for variant in found["variants"]] == ["all"]
    assert found["failed"][0]["label"] == "none"
    assert found["study_dir"] == str(study.parent / "out")


@pytest.mark.ray
def test_one_ray_serves_the_whole_study_and_gives_the_same_bits(study, monkeypatch):
    from fedlite.engine import ray_cluster

    started = []
    original = ray_cluster.Cluster._start
    monkeypatch.setattr(ray_cluster.Cluster, "_start", lambda *a: started.append(a) or original(*a))
    local = sweep(study, seed_free=True)
    done = sweep_study(study, out=study.parent / "ray", settings=Settings("ray", 1), seed_free=True)
    assert len(started) == 1
    assert not ray_cluster.ray.is_initialized()
    assert [run.summary["digest"] for run in done.runs] == [run.summary["digest"] for run in local.runs]
