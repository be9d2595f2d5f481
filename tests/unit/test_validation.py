"""Validation of measurement files: anchors are never scored, odd rows are told, errors are arithmetic."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlite.devices import measurements
from fedlite.devices.validation import validate, validate_file
from fedlite.errors import FedliteError, InvalidFileError

COLLECTION = Path(__file__).parents[2] / "benchmarks" / "device_model" / "data" / "device_measurements.csv"
SECOND = COLLECTION.with_name("device_measurements_2.csv")
COLUMNS = ["id", *measurements.REQUIRED, "macs_millions", "input"]


def row(**changes):
    base = {
        "id": "T1", "device": "Toy board", "workload": "inference", "model": "mobilenet",
        "precision": "fp32 math, fp16/bf16 storage possible (ncnn default)", "threads": "4", "batch": "1",
        "metric": "latency (min of loops)", "unit": "ms", "value": "50",
        "source": "Tencent/ncnn README [Toy (Cortex-A72 1.5GHz x 4)] powersave=0", "notes": "",
        "macs_millions": "", "input": "3x224x224",
    }  # fmt: skip
    return {**base, **changes}


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, columns, extrasaction="ignore")
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.fixture
def file(tmp_path):
    def make(*rows, columns=COLUMNS):
        return write(tmp_path / "m.csv", rows, columns)

    return make


def test_the_anchor_is_not_scored_and_the_rest_is(file):
    path = file(row(), row(id="T2", model="resnet18", value="90"), row(id="T3", model="vgg16", value="700"))
    (group,) = validate_file(path, 1).groups
    assert group.anchors == ("mobilenet",)
    assert [point.row for point in group.points] == ["T2", "T3"]


def test_errors_are_relative_to_the_measurement_and_told_in_percent(file):
    path = file(row(), row(id="T2", model="resnet18", value="90"))
    document = validate_file(path, 1).to_json()
    (point,) = document["groups"][0]["points"]
    assert point["error"] == pytest.approx(100 * abs(point["predicted"] - 0.09) / 0.09, abs=1e-3)
    assert document["mape"] == document["median"] == point["error"]
    assert document["within25"] == (100.0 if point["error"] <= 25 else 0.0)
    assert document["by_family"]["ncnn-fp32"]["n"] == document["n"] == 1


def test_threads_precision_and_power_mode_make_groups_of_their_own(file):
    path = file(
        row(), row(id="T2", model="resnet18"), row(id="T3", threads="1"), row(id="T4", threads="1", model="resnet18"),
        row(id="T5", source=row()["source"].replace("powersave=0", "powersave=2")),
    )  # fmt: skip
    groups = validate_file(path, 1).groups
    assert [(group.threads, group.setting, len(group.points)) for group in groups] == [
        ("4", "powersave 0", 1), ("1", "powersave 0", 1), ("4", "powersave 2", 1),
    ]  # fmt: skip


def test_without_anchors_the_spec_sheet_predicts_where_core_and_clock_are_told(file):
    path = file(row(), row(id="T2", device="Mystery", source="Tencent/ncnn README [Mystery] powersave=0"))
    result = validate_file(path, 0)
    assert [group.calibration for group in result.groups] == ["spec-sheet"]
    assert result.skipped[0].row == "T2"
    assert "core and clock" in result.skipped[0].reason


def test_networks_that_nobody_drew_are_priced_with_a_wider_band(file):
    path = file(
        row(), row(id="T2", model="resnet18", value="90"), row(id="T3", model="yolo-9000", macs_millions="1800")
    )
    (group,) = validate_file(path, 1).groups
    known, other = group.points
    assert (known.net, other.net) == ("layers", "stand-in")
    assert other.high / other.low > 1.5 * known.high / known.low


def test_a_single_row_of_a_described_device_is_judged_by_its_spec_sheet(file):
    (group,) = validate_file(file(row()), 1).groups
    assert (group.calibration, len(group.points)) == ("spec-sheet", 1)


def test_coverage_of_the_bands_is_told_by_family(file):
    path = file(row(), row(id="T2", model="resnet18", value="90"), row(id="T3", model="vgg16", value="1"))
    document = validate_file(path, 1).to_json()
    held = [p["low"] <= p["measured"] <= p["high"] for p in document["groups"][0]["points"]]
    assert held == [True, False]
    assert document["by_family"]["ncnn-fp32"]["in_band"] == document["in_band"] == 50.0


def test_flagged_rows_and_other_quantities_are_skipped(file):
    path = file(
        row(notes="leave out of roofline validation"),
        row(id="T2", workload="HPL Linpack", metric="throughput", unit="GFLOP/s"),
    )
    assert [skip.row for skip in validate_file(path, 1).skipped] == ["T1", "T2"]


def test_a_missing_column_is_named_with_file_line_and_remedy(file):
    path = file(row(), columns=[name for name in COLUMNS if name != "threads"])
    with pytest.raises(InvalidFileError, match=r"m\.csv:1:1: threads: column missing .*; add the columns threads"):
        validate_file(path, 1)


@pytest.mark.parametrize("value", ["", "fast", "-3", "0", "inf", "nan"])
def test_values_that_are_no_positive_number_are_named_by_line(file, value):
    with pytest.raises(InvalidFileError, match=r"m\.csv:3.*value: got .* expected a positive number"):
        validate_file(file(row(), row(id="T2", value=value)), 1)


def test_a_file_that_is_not_there_is_told_as_one_problem(tmp_path):
    with pytest.raises(InvalidFileError, match="cannot be read"):
        validate_file(tmp_path / "none.csv", 1)


def test_an_empty_file_asks_for_its_columns(tmp_path):
    (tmp_path / "m.csv").write_text("")
    with pytest.raises(InvalidFileError, match="file: empty; write a header of"):
        validate_file(tmp_path / "m.csv", 1)


def test_negative_anchors_are_refused():
    with pytest.raises(FedliteError, match="0 or more"):
        validate([], -1)


def test_a_file_without_usable_rows_gives_zero_points_and_no_invented_error(file):
    document = validate_file(file(row(workload="nothing")), 1).to_json()
    assert (document["n"], document["mape"], document["by_family"]) == (0, None, {})


def test_training_curves_between_two_anchors_are_affine(file):
    rows = [
        row(id=f"B{b}", device="Phone", workload="training step (fwd+bwd+update)", model="Own", precision="fp32",
            batch=str(b), metric="time per batch", value=str(100 + 20 * b), source="someone")
        for b in (1, 2, 4, 8, 16)
    ]  # fmt: skip
    (group,) = validate_file(file(*rows), 2).groups
    assert group.anchors == ("Own (batch 16)", "Own")
    assert max(point.error for point in group.points) < 1e-9


def test_mcu_energy_is_the_anchors_power_times_measured_time(file):
    source = "mlcommons/tiny_results_v1.0@x closed/a/kws"
    base = {"device": "a:NUCLEO-L4R5ZI", "precision": "int8", "threads": "1", "source": source}
    energies = {"MobileNetV1-0.25": (100.0, 5000.0), "ResNet-8 (CIFAR-10)": (200.0, 10000.0)}
    rows = []
    for model, (ms, microjoule) in energies.items():
        rows += [
            row(**base, id=f"t{ms}", model=model, metric="latency", value=str(ms)),
            row(**base, id=f"e{ms}", model=model, metric="energy per inference", unit="uJ", value=str(microjoule)),
        ]
    result = validate_file(file(*rows), 1)
    energy = next(group for group in result.groups if group.family == "mcu-energy")
    assert energy.points[0].error < 0.02


def test_the_collection_itself_is_read_and_predicted():
    document = validate_file(COLLECTION, 1).to_json()
    families = document["by_family"]
    assert document["n"] > 1000
    assert families["ncnn-fp32"]["mape"] < 12
    assert families["ncnn-fp16"]["mape"] < 18
    assert families["ncnn-int8"]["mape"] < 18
    assert families["mcu-energy"]["mape"] < 5
    assert families["training-time"]["n"] > 20


def test_nine_tenths_of_the_second_collection_are_scored():
    rows = [r for r in measurements.read(SECOND) if "latency" in r.family or r.family.split("-")[-1].startswith("fp")]
    mine = [r for r in rows if "family=cpu" in r.notes or "family=mcu-single-core" in r.notes]
    result = validate(mine, 1)
    scored = sum(len(group.points) + len(group.anchors) for group in result.groups)
    assert scored >= 0.9 * len(mine) > 500
    assert set(result.to_json()["by_device"]) == {"of the fit"}
    by_net = result.to_json()["by_net"]
    assert by_net["layers"]["median"] < 15
    assert by_net["stand-in"]["median"] < 30


def test_two_anchors_per_net_predict_training_within_four_percent():
    families = validate_file(COLLECTION, 2).to_json()["by_family"]
    assert all(families[f"training-{kind}"]["mape"] < 4.0 for kind in ("time", "memory", "energy"))


@pytest.mark.parametrize("anchors", [1, 2, 3])
def test_bands_of_training_curves_hold_by_number_of_anchors(anchors):
    by_family = validate_file(COLLECTION, anchors).to_json()["by_family"]
    for family in ("training-time", "training-memory", "training-lstm-time"):
        assert by_family[family]["in_band"] >= 70.0
    errors = [by_family[family]["mape"] for family in ("training-time", "training-memory")]
    assert max(errors) < 6.0


def test_order_of_rows_does_not_change_any_prediction():
    rows = measurements.read(COLLECTION)
    forward, backward = validate(rows, 1), validate(rows[::-1], 1)
    told = [{p.row: p.predicted for g in v.groups for p in g.points} for v in (forward, backward)]
    republished = {skip.row for v in (forward, backward) for skip in v.skipped}
    assert all(told[0][key] == pytest.approx(told[1][key]) for key in told[0] if key not in republished)


def test_devices_that_the_fit_never_saw_are_told_apart(file):
    told = validate_file(
        file(row(), row(id="T2", model="resnet18", value="90"), row(id="T3", device="Raspberry Pi 4B"),
             row(id="T4", device="Raspberry Pi 4B", model="resnet18", value="90")), 1
    ).to_json()["by_device"]  # fmt: skip
    assert {kind: found["n"] for kind, found in told.items()} == {"of the fit": 1, "new": 1}


def test_the_command_prints_one_json_document(file):
    import typer

    from fedlite.cli.devices_model import register

    app = typer.Typer()
    register(app)
    path = file(row(), row(id="T2", model="resnet18", value="90"))
    result = CliRunner().invoke(app, ["validate", str(path), "--anchors", "1", "--json"])
    assert result.exit_code == 0
    assert {"groups", "by_family", "by_net", "n", "mape", "median", "within25", "in_band"} <= set(
        json.loads(result.stdout)
    )
