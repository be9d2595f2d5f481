"""Devices with different parts of one model in one run: each coordinate is averaged over those that have it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl

from fedlite.compose.learning import prepare
from fedlite.compression.overlap import OverlapSum
from fedlite.compression.structure.depth import Depth
from fedlite.compression.structure.heterofl import HeteroFL
from fedlite.compression.structure.ordered import Ordered
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.share import share_dir

TEXT = (Path(share_dir("scenarios")) / "heterogeneous-submodels.yaml").read_text(encoding="utf-8")
PARTS = [Depth(1), HeteroFL(0.5), Ordered((0.5, 0.75))]


def finished(folder, rounds, **mix):
    """The shipped scenario, shorter, with some of its devices; plain float32 on the wire, so that values stay."""
    shares = ", ".join(f"{name.replace('_', '-')}: {count}" for name, count in mix.items())
    text = re.sub(r"mix: \{.*\}", f"mix: {{{shares}}}", TEXT)
    text = re.sub(r"rounds: 20", f"rounds: {rounds}", text)
    text = text.replace("wire: {up: int8, down: fp16}", "").replace("clients_per_round: 12", "clients_per_round: 24")
    scenario = parse_scenario(text)
    done = run(scenario, out=folder, settings=Settings("local"))
    learning = prepare(scenario)
    return done, RunDirectory(folder).read_model(), learning


def held(learning, parts):
    """Where any of the parts has a coordinate, by the name of its tensor."""
    total = OverlapSum([array.shape for array in learning.arrays])
    for part in parts:
        placement = part.place(learning.spec, learning.arrays)
        placement.add(total, [np.ones_like(one, dtype=np.float64) for one in placement.take()], 1.0)
    masses = (np.broadcast_to(mass, shape) for mass, shape in zip(total.weights, total.shapes, strict=True))
    return dict(zip(learning.names, masses, strict=True))


def test_what_nobody_has_stays_and_what_somebody_has_moves(tmp_path):
    done, final, learning = finished(tmp_path / "run", 2, pi_zero_w=1, galaxy_a21s=1, galaxy_a52=1)
    owners, begun = held(learning, PARTS), dict(zip(learning.names, learning.arrays, strict=True))
    assert {int(count) for masses in owners.values() for count in np.unique(masses)} == {0, 1, 2, 3}
    for name, values in final.items():
        nobody = owners[name] == 0
        assert np.array_equal(values[nobody], begun[name][nobody])
        assert nobody.all() or (values[~nobody] != begun[name][~nobody]).mean() > 0.5
    assert set(done.clients["plan"]) == {"depth 1", "width 0.5, scaled", "ordered to 0.75"}


def test_the_shipped_fleet_learns_and_each_kind_pays_for_its_part(tmp_path):
    done, _, _ = finished(tmp_path / "run", 12, pixel_8=1, galaxy_a52=1, galaxy_a21s=1, pi_zero_w=1)
    assert done.rounds["accuracy"][-1] > 0.8
    up = dict(done.clients.group_by("plan").agg(pl.col("up_bytes").max()).iter_rows())
    assert 20 * up["depth 1"] < up["full"]
    assert up["depth 1"] < up["width 0.5, scaled"] < up["ordered to 0.75"] < up["full"]
