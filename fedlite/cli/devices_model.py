"""`fedlite devices predict | calibrate | validate`: what a model costs a device, and how far to believe it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedlite.devices.prediction import Prediction
    from fedlite.devices.profile import Anchor, DeviceProfile
    from fedlite.devices.workload import Workload

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
    workload = _workload(model, input_shape, classes, width)
    result = prediction.predict(
        profile, workload, mode=mode, batch=batch, precision=precision, threads=threads,
        optimizer=optimizer, momentum=momentum,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))
    else:
        typer.echo(_sentences(profile, result))


def _workload(model: str, input_shape: str | None, classes: int, width: float) -> Workload:
    from fedlite.cli.inputs import shape_and_classes
    from fedlite.learning.models import build
    from fedlite.learning.tracing import trace

    shape, classes = shape_and_classes(model, input_shape, classes)
    return trace(build(model, input_shape=shape, num_classes=classes, width=width, seed=0), shape, name=model)


def _sentences(profile: DeviceProfile, result: Prediction) -> str:
    from fedlite.units import show

    what = "one training step" if result.mode == "training" else "one forward pass"
    job = f"{what} of batch {result.batch}, {result.precision}, {result.threads} threads"
    lines = [f"{profile.title}: {result.model}, {job} ({result.time.calibration})"]
    for label, quantity, dimension in (
        ("time", result.time, "time"),
        ("energy", result.energy, "energy"),
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


def calibrate(
    device: DeviceName,
    anchor: Annotated[list[str], typer.Option("--anchor", help="'model,latency_ms' measured on the device; repeat.")],
    out: Annotated[Path, typer.Option("--out", help="The profile file to write.")],
    precision: Annotated[str, typer.Option(help="Precision of the measurements: fp32 or int8.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads of the measurements.")] = None,
    input_shape: Annotated[str, typer.Option("--input", help="Input shape of the measurements.")] = "3x224x224",
    source: Annotated[str, typer.Option(help="Who measured it, how.")] = "measured by the user",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a copy of a profile that your own latency measurements calibrate (1 anchor, better 3)."""
    from dataclasses import replace

    from fedlite.cli.inputs import parse_shape
    from fedlite.devices.compute import configuration
    from fedlite.devices.profile_text import with_anchors
    from fedlite.errors import FedliteError
    from fedlite.scenario.profiles import load_profile
    from fedlite.scenario.share import share_dir

    profile = load_profile(device)
    count = profile.threads if threads is None else threads
    anchors = [_anchor(text, precision, count, parse_shape(input_shape), source) for text in anchor]
    other = [a for a in profile.anchors if (a.precision, a.threads) != (precision, count)]
    before = configuration(profile, precision, count)
    after = configuration(replace(profile, name=out.stem, anchors=(*anchors, *other)), precision, count)
    if out.exists() and not force:
        raise FedliteError(f"--out: {out} exists; choose another name or add --force")
    path = Path(device) if Path(device).is_file() else share_dir("device_profiles") / f"{device}.yaml"
    out.write_text(with_anchors(path.read_text(encoding="utf-8"), out.stem, [*anchors, *other]), encoding="utf-8")
    document = _change(out, before, after)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(f"{out}: {document['speed']:.2f} times the speed assumed before; {document['calibration']}, "
                   f"80 % band {document['low']:.2f} to {document['high']:.2f} of a prediction")  # fmt: skip


def _change(out: Path, before: Any, after: Any) -> dict[str, Any]:
    from math import exp

    return {
        "profile": str(out),
        "calibration": str(after.calibration),
        "speed": exp(before.log_scale - after.log_scale),
        "low": after.band.low,
        "high": after.band.high,
    }


def _anchor(text: str, precision: str, threads: int, shape: tuple[int, ...], source: str) -> Anchor:
    from fedlite.devices import published
    from fedlite.devices.profile import Anchor, Kind, Sourced
    from fedlite.errors import FedliteError, UnknownNameError

    model, _, latency = text.partition(",")
    try:
        value = float(latency)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise FedliteError(
            f"--anchor: got {text!r}, expected a network and milliseconds; write --anchor mobilenet,23.5"
        )
    if published.find(model) is None:
        raise UnknownNameError("--anchor network", model, published.names())
    measured = Sourced(value * 1e-3, source, Kind.MEASURED, f"{value:g} ms")
    return Anchor(model.strip(), shape, precision, threads, measured)


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


def _summary_table(document: dict[str, Any], anchors: int) -> str:
    lines = [f"{'family':22}{'n':>6}{'MAPE %':>9}{'median %':>10}{'within 25 %':>13}"]
    rows = [
        *document["by_family"].items(),
        ("all", {key: document[key] for key in ("n", "mape", "median", "within25")}),
    ]
    for family, row in rows:
        if row["n"]:
            lines.append(f"{family:22}{row['n']:>6}{row['mape']:>9.1f}{row['median']:>10.1f}{row['within25']:>12.0f}%")
    lines.append(f"{anchors} anchor(s) per configuration; {len(document['skipped'])} rows not used (--json tells why)")
    return "\n".join(lines)
