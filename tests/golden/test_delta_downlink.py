"""Differences on the way down in whole runs: the same model, fewer bytes, charged as sent, wherever it runs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fedlite import runner
from fedlite.client.downlink import Offer
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: differences
seed: 5
fleet: {{devices: 10, mix: {{pixel-8: 50 %, wileyfox-swift: 50 %}}{fleet}}}
task: {{data: digits, partition: {{kind: dirichlet, alpha: 1.0}}, model: {{name: mlp, options: {{hidden: [16]}}}}}}
training: {{rounds: {rounds}, clients_per_round: 5, local: {{batch_size: 16, lr: 0.1}}{more}}}
wire: {{{wire}}}
{tail}
"""


class StopError(Exception):
    """Stands for whatever ends a run in the middle."""


def scenario(wire, *, rounds=6, more="", fleet="", tail=""):
    return parse_scenario(SCENARIO.format(wire=wire, rounds=rounds, more=more, fleet=fleet, tail=tail))


def run(folder, wire, settings=None, **options):
    return runner.run(scenario(wire, **options), out=folder, settings=settings or runner.Settings("local"))


def test_exact_differences_train_the_very_model_of_whole_downloads_with_fewer_bytes(tmp_path):
    whole, delta = run(tmp_path / "a", "down: fp16"), run(tmp_path / "b", "down: fp16, delta: true")
    first, second = (RunDirectory(one.path).read_model() for one in (whole, delta))
    assert first.keys() == second.keys()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    assert delta.clients["down_bytes"].sum() < whole.clients["down_bytes"].sum()
    assert delta.clients["up_bytes"].to_list() == whole.clients["up_bytes"].to_list()
    told = delta.summary["downloads"]
    assert told["whole"] == delta.clients["device"].n_unique()
    assert told["whole"] + told["deltas"] == delta.clients.height
    assert "downloads" not in whole.summary
    assert "the difference to what the device holds" in (delta.path / "report.html").read_text()


@pytest.mark.parametrize("wire", ["down: fp16, delta: exact", "delta: int8+zstd, versions: 4"])
def test_what_is_charged_is_the_length_of_what_was_encoded(tmp_path, monkeypatch, wire):
    lengths, make = {False: set(), True: set()}, Offer.to

    def made(offer, base):
        download = make(offer, base)
        lengths[download.base is not None].add(len(download.packet))
        return download

    monkeypatch.setattr(Offer, "to", made)
    done = run(tmp_path / "run", wire)
    charged = set(done.clients["down_bytes"].to_list())
    assert charged == lengths[False] | lengths[True]
    assert len(lengths[True]) > 1
    told = done.summary["downloads"]
    assert told["whole_bytes"] + told["delta_bytes"] == done.clients["down_bytes"].sum()


def test_downloads_that_were_cut_off_count_for_nothing(tmp_path):
    done = run(tmp_path / "run", "delta: true", fleet=", budgets: {energy_per_day: 0.6 J}", rounds=8)
    jobs = done.clients
    assert jobs.filter(pl.col("outcome") != "arrived").height > 0
    through = jobs.filter(pl.col("down_raw_bytes") == jobs["down_raw_bytes"].max())
    assert 0 < through.height < jobs.height
    told = done.summary["downloads"]
    assert told["whole"] + told["deltas"] == through.height
    assert told["whole_bytes"] + told["delta_bytes"] == through["down_bytes"].sum()


@pytest.mark.parametrize("wire", ["down: int8+zstd, delta: exact", "delta: 'topk:0.2+int8+zstd', versions: 3"])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, wire):
    whole = run(tmp_path / "whole", wire)

    def stop_in_the_middle(progress):
        if progress.round_ == 3:
            raise StopError

    with pytest.raises(StopError):
        runner.run(scenario(wire), out=tmp_path / "cut", settings=runner.Settings("local"), progress=stop_in_the_middle)
    resumed = runner.resume(tmp_path / "cut", settings=runner.Settings("local"))
    assert resumed.summary["digest"] == whole.summary["digest"]
    assert resumed.summary["downloads"] == whole.summary["downloads"]


@pytest.mark.ray
def test_ray_gives_the_bits_of_this_process(tmp_path):
    wire = "up: int8, delta: int8+zstd"
    here = run(tmp_path / "local", wire)
    for actors in (1, 2):
        there = run(tmp_path / f"ray{actors}", wire, runner.Settings("ray", actors))
        assert there.summary["digest"] == here.summary["digest"]
        assert there.summary["downloads"] == here.summary["downloads"]


def test_asynchronous_servers_send_differences_too(tmp_path):
    more = ", strategy: {name: fedbuff, buffer: 2, concurrency: 4}"
    text = SCENARIO.format(wire="down: fp16, delta: true", rounds=6, more=more, fleet="", tail="")
    text = text.replace("clients_per_round: 5, ", "")
    done = runner.run(parse_scenario(text), out=tmp_path / "run", settings=runner.Settings("local"))
    assert done.summary["downloads"]["deltas"] > 0


def test_a_plan_may_differ_from_the_wire(tmp_path):
    tail = "clients:\n  - for: {profile: pixel-8}\n    plan: {delta: false}\n"
    done = run(tmp_path / "run", "down: fp16, delta: true", tail=tail)
    by_class = done.clients.group_by("profile").agg(pl.col("down_bytes").n_unique().alias("lengths"))
    lengths = dict(by_class.iter_rows())
    assert lengths["pixel-8"] == 1
    assert lengths["wileyfox-swift"] > 1
    assert np.isfinite(done.summary["metrics"]["accuracy"])
