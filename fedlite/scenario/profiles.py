"""Device profiles and fleet mixes: strict YAML -> `DeviceProfile` and `Mix`.

Every number of a profile is written with its unit, its source and how well it is known::

    idle: {value: 1.6, unit: W, source: "geerlingguy/sbc-reviews issue #4", kind: measured}

The reading of one file finds every mistake in it, each with line, column and remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from fedlite.devices.features import TERMS
from fedlite.devices.network import ACCESS
from fedlite.devices.power import at_full_clock
from fedlite.devices.profile import Anchor, DeviceProfile, EngineFamily, Thermal, Tier
from fedlite.devices.radio import GENERATIONS
from fedlite.errors import InvalidFileError, UnknownNameError, quoted
from fedlite.scenario.fields import README, FieldReader, short
from fedlite.scenario.share import share_dir
from fedlite.scenario.strict_yaml import KeyPath

T = TypeVar("T")

PRECISIONS: Final = ("fp32", "int8")
_SHARE_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class Mix:
    """Which devices make up a fleet: (profile name, share), shares adding up to 1."""

    name: str
    title: str
    entries: tuple[tuple[str, float], ...]

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Iterate over the entries."""
        return iter(self.entries)


def profile_names() -> list[str]:
    """Return the names of all shipped profiles."""
    return list(_stems(share_dir("device_profiles")))


def mix_names() -> list[str]:
    """Return the names of all shipped mixes."""
    return list(_stems(share_dir("device_profiles") / "mixes"))


@cache
def _stems(folder: Path) -> list[str]:
    """Return what ships in a folder: that stays as it is while a program runs, and is asked for every name of a mix."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """Return a device profile.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped profile's name, or the path of a file (something with a slash or a .yaml ending).

    Raises
    ------
    UnknownNameError
        If no shipped profile has this name.
    InvalidFileError
        With every mistake in the file.
    """
    return _once(_read_profile, _find(name_or_path, share_dir("device_profiles"), "device profile", profile_names()))


def load_mix(name_or_path: str | Path) -> Mix:
    """Return a fleet mix; its profiles are shipped ones, or files relative to the mix.

    Raises
    ------
    UnknownNameError
        If no shipped mix has this name.
    InvalidFileError
        With every mistake in the file.
    """
    return _once(_read_mix, _find(name_or_path, share_dir("device_profiles") / "mixes", "mix", mix_names()))


def _read_mix(path: Path) -> Mix:
    reader = FieldReader.open(path)
    top = reader.mapping((), required=("name", "title", "shares"))
    mix = Mix(
        reader.name(path, top),
        reader.text(("title",), top.get("title")),
        tuple(_shares(reader, top.get("shares"), path)),
    )
    reader.finish()
    return mix


def _find(name_or_path: str | Path, folder: Path, kind: str, known: list[str]) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    if text not in known:
        raise UnknownNameError(kind, text, known)
    return folder / f"{text}.yaml"


@cache
def _cached(read: Callable[[Path], T], path: str, modified_ns: int) -> T | InvalidFileError:  # noqa: ARG001
    """Return what a file says; one that is wrong is kept too, and one that was changed since is another."""
    try:
        return read(Path(path))
    except InvalidFileError as error:
        return error


def _once(read: Callable[[Path], T], path: Path) -> T:
    """Read a file that has not been read yet: a mix may name one over and over, and a study a mix in every variant."""
    try:
        modified_ns = path.stat().st_mtime_ns
    except OSError:
        return read(path)  # which says why
    found = _cached(read, str(path), modified_ns)
    if isinstance(found, InvalidFileError):
        raise found.with_traceback(None)
    return cast("T", found)


def _shares(reader: FieldReader, shares: Any, path: Path) -> Iterator[tuple[str, float]]:
    here: KeyPath = ("shares",)
    if not isinstance(shares, dict) or not shares:
        reader.wrong(
            here, f"got {short(shares)}, expected profiles with their shares", "write for example 'pixel-4: 40 %'"
        )
        return
    total, known = 0.0, profile_names()
    for name, share in shares.items():
        value = reader.share((*here, name), share)
        total += value
        own = path.parent / name if name.endswith(".yaml") else None
        if own is None and name not in known:
            reader.wrong((*here, name), f"got {quoted(name)}, expected a device profile", "see `fedlite devices list`")
        yield (str(own) if own else name), value
    if abs(total - 1.0) > _SHARE_TOLERANCE:
        reader.wrong(here, f"got shares that add up to {total * 100:.6g} %, expected 100 %", "change a share")


def _read_profile(path: Path) -> DeviceProfile:
    r = FieldReader.open(path)
    top = r.mapping(
        (),
        required=("name", "title", "tier", "soc", "compute", "memory", "power", "radio"),
        optional=("anchors", "notes"),
    )
    compute = r.mapping(
        ("compute",), required=("core_family", "engine", "cores", "threads", "clock"), optional=("peak",), inside=top
    )
    memory = r.mapping(("memory",), required=("ram", "job_ram", "storage"), inside=top)
    power = r.mapping(
        ("power",), required=("idle", "active"), optional=("active_clock", "battery", "charge", "thermal"), inside=top
    )
    radio = r.mapping(("radio",), required=("access", "generation"), inside=top)
    thermal = (
        r.mapping(("power", "thermal"), required=("onset", "sustained"), inside=power) if "thermal" in power else None
    )
    profile = DeviceProfile(
        name=r.name(path, top),
        title=r.text(("title",), top.get("title")),
        tier=r.choice(("tier",), top.get("tier"), Tier),
        soc=r.text(("soc",), top.get("soc")),
        core_family=r.text(("compute", "core_family"), compute.get("core_family")),
        engine=r.choice(("compute", "engine"), compute.get("engine"), EngineFamily),
        cores=r.count(("compute", "cores"), compute.get("cores")),
        threads=r.count(("compute", "threads"), compute.get("threads")),
        clock_hz=r.number(("compute", "clock"), compute.get("clock"), "frequency"),
        peak_flops=r.number(("compute", "peak"), compute["peak"], "flops") if "peak" in compute else None,
        ram_bytes=r.number(("memory", "ram"), memory.get("ram"), "bytes"),
        job_ram_bytes=r.number(("memory", "job_ram"), memory.get("job_ram"), "bytes"),
        storage_bytes=r.number(("memory", "storage"), memory.get("storage"), "bytes"),
        idle_w=r.number(("power", "idle"), power.get("idle"), "power"),
        active_w=r.number(("power", "active"), power.get("active"), "power"),
        battery_j=r.number(("power", "battery"), power["battery"], "energy") if "battery" in power else None,
        charge_w=r.number(("power", "charge"), power["charge"], "power") if "charge" in power else None,
        active_clock_hz=(
            r.number(("power", "active_clock"), power["active_clock"], "frequency") if "active_clock" in power else None
        ),
        thermal=None if thermal is None else _thermal(r, thermal),
        radios=r.names(("radio", "access"), radio.get("access"), list(ACCESS), "access type"),
        radio_generation=r.one_of(("radio", "generation"), radio.get("generation"), list(GENERATIONS)),
        anchors=tuple(_anchors(r, top.get("anchors", []))),
        notes=r.text(("notes",), top["notes"]) if "notes" in top else "",
    )
    _judge(r, profile)
    r.finish()
    if profile.active_clock_hz is not None:
        power_w = at_full_clock(profile.active_w, profile.clock_hz.value, profile.active_clock_hz.value)
        return replace(profile, active_w=power_w)
    return profile


def _thermal(r: FieldReader, thermal: dict[str, Any]) -> Thermal:
    here = ("power", "thermal")
    sustained = r.number((*here, "sustained"), thermal.get("sustained"), "fraction")
    if sustained.value > 1.0:
        r.wrong(
            (*here, "sustained"),
            f"got {sustained.text}, expected at most 100 % of the cold speed",
            "write a fraction of it",
        )
    return Thermal(r.number((*here, "onset"), thermal.get("onset"), "time"), sustained)


def _anchors(r: FieldReader, anchors: Any) -> Iterator[Anchor]:
    if not isinstance(anchors, list):
        r.wrong(("anchors",), f"got {short(anchors)}, expected a list of measured latencies", README)
        return
    for index in range(len(anchors)):
        here: KeyPath = ("anchors", index)
        item = r.mapping(
            here, required=("model", "input", "precision", "threads", "latency"), optional=("terms",), inside=anchors
        )
        yield Anchor(
            model=r.text((*here, "model"), item.get("model")),
            input_shape=r.shape((*here, "input"), item.get("input")),
            precision=r.one_of((*here, "precision"), item.get("precision"), list(PRECISIONS)),
            threads=r.count((*here, "threads"), item.get("threads")),
            latency_s=r.number((*here, "latency"), item.get("latency"), "time"),
            terms=_terms(r, (*here, "terms"), item["terms"]) if "terms" in item else (),
        )


def _terms(r: FieldReader, here: KeyPath, terms: Any) -> tuple[float, ...]:
    numbers = isinstance(terms, list) and all(isinstance(t, int | float) and t >= 0 for t in terms)
    if not numbers or len(terms) != len(TERMS) or not sum(terms) > 0:
        r.wrong(here, f"got {short(terms)}, expected {len(TERMS)} numbers ({', '.join(TERMS)})",
                "let `fedlite devices calibrate` write them")  # fmt: skip
        return ()
    return tuple(float(term) for term in terms)


def _judge(r: FieldReader, profile: DeviceProfile) -> None:
    """Find what is wrong between keys. Keys already found wrong are left alone."""
    if r.problems:
        return
    if profile.threads > profile.cores:
        r.wrong(
            ("compute", "threads"), f"got {profile.threads} threads on {profile.cores} cores", "write fewer threads"
        )
    if profile.job_ram_bytes.value > profile.ram_bytes.value:
        r.wrong(
            ("memory", "job_ram"),
            f"got {profile.job_ram_bytes.text} of {profile.ram_bytes.text}",
            "write less than ram",
        )
    if profile.active_w.value < profile.idle_w.value:
        r.wrong(
            ("power", "active"),
            f"got {profile.active_w.text}, idle is {profile.idle_w.text}",
            "active power includes idle",
        )
    if (profile.battery_j is None) != (profile.charge_w is None):
        r.wrong(("power",), "got only one of battery and charge", "give both, or neither for a device on mains")
