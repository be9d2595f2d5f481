"""`fedlite devices predict | calibrate | validate`: what a model costs a device, and how far to believe it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.devices_calibrate import calibrate
from fedlite.cli.inputs import workload_of

if TYPE_CHECKING:
    from fedlite.devices.prediction import Prediction
    from fedlite.devices.profile import DeviceProfile

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
DeviceName = Annotated[str, typer.Option("--device", help="A profile's name, or the path of a YAML file.")]


def register(app: typer.Typer) -> None:
    """Mount the three commands on the `fedlite devices` group."""
    app.command("predict")(predict)
    app.command("calibrate")(calibrate)
    app.command("validate")(validate)


def predict(
    device: DeviceName,
    model: Annotated[str, typer.Option("--model", help="A model's name, or your own pkg.mod:factory.")],
    batch: Annotated[int, typer.Option(help="Samples per forward pass or training step.")] = 1,
    mode: Annotated[str, typer.Option(help="inference or training.")] = "inference",
    precision: Annotated[str, typer.Option(help="fp32 or int8.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads; the profile's number if not given.")] = None,
    input_shape: Annotated[str | None, typer.Option("--input", help="Shape of one sample, such as 3x224x224.")] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the model.")] = 1000,
    width: Annotated[float, typer.Option(help="Share of the channels kept.")] = 1.0,
    optimizer: Annotated[str, typer.Option(help="sgd, adam, ... (its state takes memory).")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Predict latency (or a training step), energy and peak memory of a model on a device, each with its 80 % band."""
    from fedlite.devices import prediction
    from fedlite.scenario.profiles import load_profile

    profile = load_profile(device)
    workload = workload_of(model, input_shape, classes, width)
    result = prediction.predict(
        profile, workload, mode=mode, batch=batch, precision=precision, threads=threads,
        optimizer=optimizer, momentum=momentum,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))
    else:
        typer.echo(_sentences(profile, result))


def _sentences(profile: DeviceProfile, result: Prediction) -> str:
    from fedlite.units import show

    what = "one training step" if result.mode == "training" else "one forward pass"
    half = " in half-precision arithmetic" if result.arithmetic == "fp16" else ""
    job = f"{what} of batch {result.batch}, {result.precision}{half}, {result.threads} threads"
    lines = [f"{profile.title}: {result.model}, {job} ({result.time.calibration})"]
    for label, quantity, dimension in (
        ("time", result.time, "time"),
        ("energy", result.energy, "energy"),
        ("above idle", result.energy_above_idle, "energy"),
        ("peak memory", result.peak, "bytes"),
    ):
        value, low, high = (show(float(x), dimension) for x in (quantity.value, quantity.low, quantity.high))
        lines.append(f"  {label:12} {value:>10}   80 % band {low} to {high}")
    budget = show(result.budget_bytes, "bytes")
    if result.slowdown == float("inf"):
        lines.append(f"  does not fit: a job may take {budget}; lower --batch or --width")
    elif result.slowdown > 1.0:
        lines.append(f"  memory pressure: a job may take {budget}; expect about {result.slowdown:.1f} times the time")
    return "\n".join(lines)


def validate(
    file: Annotated[Path, typer.Argument(help="CSV with the columns of the measurement collection.")],
    anchors: Annotated[int, typer.Option(help="Rows per configuration that calibrate; the rest is predicted.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Predict published measurements from a few anchors per device and say how far off the predictions are."""
    from fedlite.devices.validation import validate_file

    document = validate_file(file, anchors).to_json()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(_summary_table(document, anchors))


_DEVICES = {"of the fit": "of the fit (no test)", "new": "that are new"}


def _summary_table(document: dict[str, Any], anchors: int) -> str:
    lines = [f"{'family':28}{'n':>6}{'MAPE %':>9}{'median %':>10}{'within 25 %':>13}{'in 80 % band':>14}"]
    rows = [
        *document["by_family"].items(),
        *((f"nets known by {kind}", row) for kind, row in document["by_net"].items()),
        *((f"devices {_DEVICES[kind]}", row) for kind, row in document["by_device"].items()),
        ("all", {key: document[key] for key in ("n", "mape", "median", "within25", "in_band")}),
    ]
    for family, row in rows:
        if row["n"]:
            lines.append(
                f"{family:28}{row['n']:>6}{row['mape']:>9.1f}{row['median']:>10.1f}{row['within25']:>12.0f}%"
                f"{row['in_band']:>13.0f}%"
            )
    lines.append(f"{anchors} anchor(s) per configuration; {len(document['skipped'])} rows not used (--json tells why)")
    return "\n".join(lines)
