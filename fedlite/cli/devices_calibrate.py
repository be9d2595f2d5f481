"""`fedlite devices calibrate`: a profile whose latencies the user measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.inputs import workload_of

if TYPE_CHECKING:
    from fedlite.devices.calibration import Calibrated
    from fedlite.devices.profile import Anchor, DeviceProfile
    from fedlite.devices.runtimes import Runtime

TOO_FAR = 10.0
"""An anchor so many times off its spec sheet is a slip of units or of the device more often than a surprise."""


def calibrate(
    device: Annotated[str, typer.Option("--device", help="A profile's name, or the path of a YAML file.")],
    anchor: Annotated[list[str], typer.Option("--anchor", help="'model,latency_ms' measured on the device; repeat.")],
    out: Annotated[Path, typer.Option("--out", help="The profile file to write.")],
    precision: Annotated[str, typer.Option(help="Precision of the measurements: fp32 or int8.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads of the measurements.")] = None,
    input_shape: Annotated[str, typer.Option("--input", help="Input shape of the measurements.")] = "3x224x224",
    classes: Annotated[int, typer.Option(help="Outputs of a model of your own.")] = 1000,
    engine: Annotated[str | None, typer.Option(help="Inference engine and its year, such as 'tflite 2024'.")] = None,
    source: Annotated[str, typer.Option(help="Who measured it, how.")] = "measured by the user",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file; accept an anchor that looks wrong.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Write a copy of a profile that your own latency measurements calibrate (1 anchor, better 3).

    An anchor is a published network, a model of the zoo, or your own pkg.mod:factory.
    """
    from dataclasses import replace

    from fedlite.devices.compute import configuration, runtime_of
    from fedlite.devices.profile_text import with_anchors
    from fedlite.errors import FedliteError
    from fedlite.scenario.profiles import load_profile
    from fedlite.scenario.share import share_dir

    profile = load_profile(device)
    count = profile.threads if threads is None else threads
    runtime = _runtime(profile, precision, engine, force=force)
    origin = f"{source}; {runtime.engine} {runtime.year}"
    anchors = [_anchor(text, precision, count, input_shape, classes, origin) for text in anchor]
    _refuse_twice(anchors)
    other = [a for a in profile.anchors if (a.precision, a.threads) != (precision, count)]
    bare = replace(profile, name=out.stem, anchors=())
    if runtime_of(replace(bare, anchors=tuple(anchors)), precision).engine != runtime.engine:
        raise FedliteError(
            f"--engine: got {engine!r}, expected an engine that fedlite knows and its year; write 'ncnn 2023'"
        )
    before = configuration(profile, precision, count)
    after = configuration(replace(bare, anchors=(*anchors, *other)), precision, count)
    if not force:
        _refuse_far(bare, anchors)
    if out.exists() and not force:
        raise FedliteError(f"--out: {out} exists; choose another name or add --force")
    path = Path(device) if Path(device).is_file() else share_dir("device_profiles") / f"{device}.yaml"
    out.write_text(with_anchors(path.read_text(encoding="utf-8"), out.stem, [*anchors, *other]), encoding="utf-8")
    document = _change(out, before, after)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(f"{out}: {document['speed']:.2f} times the speed assumed before; {document['calibration']}, "
                   f"80 % band {document['low']:.2f} to {document['high']:.2f} for ResNet-18")  # fmt: skip


def _refuse_twice(anchors: list[Anchor]) -> None:
    """Refuse two latencies of one network: they are one anchor, and what they differ by is nobody's knowledge."""
    from fedlite.errors import FedliteError

    names = [anchor.model for anchor in anchors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FedliteError(f"--anchor: got {twice!r} twice, expected each network once; give the median of its runs")


def _runtime(profile: DeviceProfile, precision: str, engine: str | None, *, force: bool) -> Runtime:
    """Return the runtime of the measurements: the profile's own unless told."""
    from fedlite.devices import runtimes
    from fedlite.devices.compute import on_microcontroller, runtime_of
    from fedlite.errors import FedliteError

    own = runtime_of(profile, precision)
    if engine is None:
        return own
    told = runtimes.read(engine, on_mcu=on_microcontroller(profile))
    if told.engine == "framework":
        raise FedliteError(
            f"--engine: got {engine!r}, expected an engine that fedlite knows and its year; write 'ncnn 2023'"
        )
    others = any(a.precision != precision for a in profile.anchors)
    if others and told.engine != own.engine and not force:
        raise FedliteError(
            f"--engine: got {told.engine}, expected {own.engine} like the other latencies of {profile.name}: engines "
            "on one device differ several times over; measure with that engine, or add --force"
        )
    return told


def _refuse_far(bare: DeviceProfile, anchors: list[Anchor]) -> None:
    from fedlite.devices.compute import configuration, observation
    from fedlite.devices.profile import EngineFamily
    from fedlite.errors import FedliteError

    for anchor in anchors:
        if bare.engine is EngineFamily.NPU_INT8 and anchor.precision == "int8":
            continue  # nothing but its anchors tells how fast an accelerator is
        seen = observation(anchor)
        expected = configuration(bare, anchor.precision, anchor.threads).latency_s(seen.work)
        if not 1 / TOO_FAR <= seen.latency_s / expected <= TOO_FAR:
            raise FedliteError(
                f"--anchor: got {anchor.latency_s.text} for {anchor.model}, expected about {1e3 * expected:.3g} ms "
                "from the spec sheet, not 10 times off; check unit, input, precision and threads, or add --force"
            )


def _change(out: Path, before: Calibrated, after: Calibrated) -> dict[str, Any]:
    from fedlite.devices import published
    from fedlite.devices.calibration import Work

    net = published.identify("resnet18")
    work = Work(net.terms, net)
    band = after.band(work)
    return {
        "profile": str(out),
        "calibration": str(after.calibration),
        "speed": before.latency_s(work) / after.latency_s(work),
        "low": band.low,
        "high": band.high,
    }


def _anchor(text: str, precision: str, threads: int, input_shape: str, classes: int, source: str) -> Anchor:
    from fedlite.cli.inputs import parse_shape
    from fedlite.devices import published
    from fedlite.devices.features import workload_terms
    from fedlite.devices.profile import Anchor, Kind, Sourced
    from fedlite.errors import FedliteError

    model, _, latency = (part.strip() for part in text.rpartition(","))
    try:
        value = float(latency)
    except ValueError:
        value = 0.0
    if not model or not 0.0 < value < float("inf"):
        raise FedliteError(
            f"--anchor: got {text!r}, expected a network and milliseconds; write --anchor mobilenet,23.5"
        )
    terms: tuple[float, ...] = ()
    if published.find(model) is None:
        terms = tuple(float(t) for t in workload_terms(workload_of(model, input_shape, classes, 1.0)))
    measured = Sourced(value * 1e-3, source, Kind.MEASURED, f"{value:g} ms")
    return Anchor(model, parse_shape(input_shape), precision, threads, measured, terms)
