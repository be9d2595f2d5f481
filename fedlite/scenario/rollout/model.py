"""The `model` section: what the devices run now, which variants of the new model there are, and who gets which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from fedlite.errors import quoted
from fedlite.scenario import names
from fedlite.scenario.base import Section, at_least_one, at_most, mistake
from fedlite.scenario.clients import PlanSection, expand_plan, short_plans
from fedlite.scenario.paths import folder_of
from fedlite.scenario.quantities import Bytes, Fraction, Means, PartialFraction, Seconds
from fedlite.scenario.rollout.devices import DeviceFilter, FractionByClass, SecondsByClass, stub

MAX_VARIANTS = 50
"""As many as the longest mix has profiles worth a model of their own."""
_RUN_HOLDS = "model.safetensors"


def _find(name: str, info: ValidationInfo) -> Path:
    try:
        path = Path(folder_of(info), name).expanduser().resolve()
        there = path.exists()
    except ValueError as error:  # a null byte, say
        raise mistake(f"got {quoted(name)}, which can be no path ({error})", "write a path") from None
    if not there:
        raise mistake(f"got {quoted(name)}, which is not there", f"put it at {path}, or mend the path")
    return path


def _find_file(name: str, info: ValidationInfo) -> str:
    path = _find(name, info)
    if not path.is_file():
        raise mistake(f"got {quoted(name)}, which is no plain file", "write the path of the encoded model")
    return str(path)


def _find_run(name: str, info: ValidationInfo) -> str:
    path = _find(name, info)
    if not (path / _RUN_HOLDS).is_file():
        raise mistake(
            f"got {quoted(name)}, which holds no {_RUN_HOLDS}, so it is no finished run",
            "write the directory of a run that is finished",
        )
    return str(path)


def _find_either(name: str, info: ValidationInfo) -> str:
    return _find_run(name, info) if _find(name, info).is_dir() else _find_file(name, info)


def _networks() -> list[str]:
    from fedlite.devices.published import names as published

    return published()


def _network(name: str) -> str:
    from fedlite.devices.published import find

    return name if find(name) is not None else names.checked("a published network", _networks)(name)


ModelFile = Annotated[str, names.after(_find_file), Means("path, taken from the plan's folder")]
RunDirectory = Annotated[str, names.after(_find_run), Means("directory of a run, taken from the plan's folder")]
Artifact = Annotated[str, names.after(_find_either), Means("path of a model or directory of a run")]
Amount = Annotated[float, Field(ge=0, le=1e9)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Requires(DeviceFilter):
    """What a device must have to be given a variant; without any key, what the variant itself takes."""

    memory_bytes: Bytes | None = Field(default=None, alias="memory")
    """Memory that a job may take; without it the variant's `memory`."""
    storage_bytes: Bytes | None = Field(default=None, alias="storage")
    """Storage free for models; without it the variant's `bytes`."""
    latency_s: Seconds | None = Field(default=None, alias="latency")
    """An inference must not take longer."""


class Variant(Section):
    """One form of the new model: a run's final model, an encoded file, or numbers that are told."""

    name: Name
    """Short name."""
    run: RunDirectory | None = None
    """A finished run, whose final model is encoded, evaluated and priced; numbers told beside it take their place."""
    plan: (
        Annotated[
            PlanSection, BeforeValidator(expand_plan), Means("`full` or a plan, as in `clients`", beside=short_plans)
        ]
        | None
    ) = None
    """What becomes of the run's model before it is shipped, such as `{bits: 8}`."""
    artifact: ModelFile | None = None
    """The encoded model: its size is that of the file."""
    payload_bytes: Bytes | None = Field(default=None, alias="bytes")
    """What a device downloads and stores."""
    peak_bytes: Bytes | None = Field(default=None, alias="memory")
    """Peak memory of an inference."""
    macs: Annotated[float, Field(gt=0, le=1e18)] | None = None
    """Multiply-accumulates of an inference, from which its time is predicted for each profile."""
    network: Annotated[str, names.after(_network), Means("name of a published network, such as `ds-cnn`")] | None = None
    """A network whose layers are known, which predicts the time better than `macs` does."""
    latency_s: SecondsByClass | None = Field(default=None, alias="latency")
    """Time of an inference, where it was measured."""
    precision: Literal["fp32", "int8"] | None = None
    """Arithmetic of an inference; without it that of the plan, or `fp32`."""
    accuracy: FractionByClass | None = None
    """Share of the inferences that are right."""
    requires: Requires = Requires()
    """Which devices can be given it."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Variant:
        if self.run is not None and self.artifact is not None:
            raise mistake("got both run and artifact, expected one", "keep the run, from which more is known")
        if self.plan is not None and self.run is None:
            raise mistake("got a plan without a run, so there is nothing to apply it to", "add 'run: ...'", "plan")
        if self.plan is not None and self.plan.auto:
            raise mistake("got 'plan: auto', expected one form of the model", "write one variant for each form", "plan")
        if self.artifact is not None and self.payload_bytes is not None:
            raise mistake("got bytes beside an artifact, whose size is known", "remove it", "bytes")
        speeds = [key for key in ("macs", "network", "latency_s") if getattr(self, key) is not None]
        if len(speeds) > 1:
            told = " and ".join(key.removesuffix("_s") for key in speeds)
            raise mistake(f"got {told}, expected one of macs, network and latency", "keep the one that was measured")
        self._is_whole(known_speed=bool(speeds))
        return self

    def _is_whole(self, *, known_speed: bool) -> None:
        if self.run is not None:
            return
        missing = [
            key
            for key, told in (
                ("bytes", self.payload_bytes is not None or self.artifact is not None),
                ("memory", self.peak_bytes is not None),
                ("accuracy", self.accuracy is not None),
                ("macs, network or latency", known_speed),
            )
            if not told
        ]
        if missing:
            raise mistake(f"got no {' and no '.join(missing)}, which only a run would tell", "add them, or 'run: ...'")

    @property
    def needed_memory_bytes(self) -> float:
        """Memory that a device must have; 0 where only the run will tell."""
        return self.requires.memory_bytes or self.peak_bytes or 0.0

    @property
    def needed_storage_bytes(self) -> float:
        """Storage that a device must have; 0 where only the run will tell."""
        own = Path(self.artifact).stat().st_size if self.artifact else self.payload_bytes
        return self.requires.storage_bytes or float(own or 0.0)


class OldModel(Section):
    """What the devices run now, and what they go back to."""

    payload_bytes: Bytes | None = Field(default=None, alias="bytes")
    """What a device that goes back downloads again; without it, it has kept the old model."""
    accuracy: FractionByClass | None = None
    """Share of the inferences that are right; without it nothing is said of what the update gains."""
    crash_per_day: Fraction = 0.001
    """Probability that a device crashes on a day. Assumed."""
    latency_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Its latency as a multiple of the new model's."""


class Cloud(Section):
    """Inference on a server, for devices that run no variant and to compare costs."""

    price_per_1000: Amount = 0.0
    """Price of 1,000 inferences, in whatever currency."""
    bytes_per_inference: Bytes
    """What a device sends and receives for one."""


class Delta(Section):
    """Devices download what is new in a model instead of all of it."""

    from_: Artifact | None = Field(default=None, alias="from")
    """The model that the devices have: with `ratio: auto` the difference to it is encoded and measured."""
    ratio: Annotated[Literal["auto"] | Fraction, Means("`auto`, or fraction such as `30 %`")] = "auto"
    """Size of the difference as a share of the whole."""

    @model_validator(mode="after")
    def _can_be_measured(self) -> Delta:
        if self.ratio == "auto" and self.from_ is None:
            raise mistake(
                "got 'ratio: auto' without the model to measure from", "add 'from: ...', or write the ratio as a share"
            )
        return self


class Use(Section):
    """What the model is used for on a device."""

    per_day: Amount = 20.0
    """Inferences a day. Assumed."""
    at_once: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many of them follow one another: a device whose profile tells of heat slows down on the way."""

    @model_validator(mode="after")
    def _fits_a_day(self) -> Use:
        if self.at_once > max(self.per_day, 1.0):
            raise mistake(
                f"got {self.at_once}, more than the {self.per_day:g} of a day", "lower it, or raise per_day", "at_once"
            )
        return self


class Model(Section):
    """What is rolled out."""

    variants: Annotated[tuple[Variant, ...], at_most(MAX_VARIANTS, "variants"), at_least_one("variants")] = Field(
        strict=False
    )
    """Forms of the new model; a device is given one that it can run."""
    match: Literal["best-accuracy", "first-fit"] = "best-accuracy"
    """Of several that a device can run: the most accurate on its class, or the first in the list."""
    fallback: Literal["keep-old", "cloud"] = "keep-old"
    """What a device does that can run none: keep the old model, or ask the server."""
    old: OldModel = OldModel()
    """What the devices run now."""
    cloud: Cloud | None = None
    """What asking a server takes."""
    delta: Delta | None = None
    """Downloads of differences; without it every device downloads the whole model."""
    use: Use = Use()
    """What the model is used for."""
    install_failure: PartialFraction = 0.01
    """Share of the installations of a good build that fail. Assumed: no trustworthy share is published."""
    crash_per_day: PartialFraction = 0.001
    """Probability that a device that runs a good build crashes on a day. Assumed."""

    @model_validator(mode="after")
    def _goes_together(self) -> Model:
        told = [variant.name for variant in self.variants]
        twice = next((name for name in told if told.count(name) > 1), None)
        if twice is not None:
            raise mistake(f"got two variants with the name {twice!r}", "give each a name of its own", "variants")
        if self.fallback == "cloud" and self.cloud is None:
            raise mistake(
                "got 'fallback: cloud' without 'cloud', which says what that takes",
                "add for example 'cloud: {price_per_1000: 0.1, bytes_per_inference: 4 kB}'",
                "fallback",
            )
        if self.delta is not None and self.delta.ratio == "auto":
            self._has_artifacts()
        return self

    def _has_artifacts(self) -> None:
        bare = next((one.name for one in self.variants if one.run is None and one.artifact is None), None)
        if bare is not None:
            raise mistake(
                f"got 'ratio: auto', but the variant {bare!r} has no run and no artifact to measure",
                "write the ratio as a share such as '30 %', or name its file",
                "delta",
            )


PlannedModel = Annotated[
    Model,
    stub("model: {variants: [{name: int8, bytes: 60 kB, memory: 120 KiB, macs: 2.7e6, accuracy: 91 %}]}"),
]
