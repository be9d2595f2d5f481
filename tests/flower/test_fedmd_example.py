"""FedMD as a Flower app: nets of three sizes that never travel; what travels is scores, charged as encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fedlite import wire
from fedlite.flower import compat
from fedlite.rng import stream
from fedlite.runner import Settings, run_app

FEDMD = Path(__file__).parents[2] / "docs" / "examples" / "fedmd"
ROWS = 200


def run(app_fleet, out, extra="", config="num-server-rounds=3"):
    return run_app(FEDMD, app_fleet(6, extra=extra), settings=Settings("local"), out=out, run_config=config)


def trained(run, column):
    return run.clients.filter(run.clients["kind"] == "train")[column].unique().to_list()


def test_only_scores_travel_and_nets_of_all_sizes_learn_from_them(app_fleet, tmp_path):
    first = run(app_fleet, tmp_path / "one")
    metrics = MetricRecord({"train_loss": 0.5, "num-examples": 200, "equal": 1.0})
    scores = ArrayRecord({"scores": Array(np.zeros((ROWS, 10), np.float32))})
    length = len(compat.to_bytes(RecordDict({"arrays": scores, "metrics": metrics})))
    (sent,) = trained(first, "up_bytes")
    # A float and a whole number of the metrics take as many bytes as they need.
    assert abs(sent - length) < 8
    assert 4 * ROWS * 10 < sent < 4 * ROWS * 10 + 300
    accuracy = first.rounds["accuracy"].to_list()
    assert accuracy[-1] > accuracy[1] + 0.1
    again = run(app_fleet, tmp_path / "two")
    assert again.summary["digest"] == first.summary["digest"]


def test_scores_go_through_the_wires_codec(app_fleet, tmp_path):
    (fp32,) = trained(run(app_fleet, tmp_path / "fp32"), "up_bytes")
    (int8,) = trained(run(app_fleet, tmp_path / "int8", "wire: {up: int8}"), "up_bytes")
    packet = len(wire.encode([np.ones((ROWS, 10), np.float32)], ("int8",), stream(1)))
    assert fp32 - int8 > 3 * ROWS * 10 - 200
    assert packet <= int8 < packet + 200
