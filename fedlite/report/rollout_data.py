"""Reading the directory of a rehearsed rollout, with a clear refusal of anything that is not one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlite.errors import FedliteError
from fedlite.rollout.course import POINTS, STANDS
from fedlite.rollout.states import STATES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SUMMARY: Final = "rollout.json"
ARRAYS: Final = "replications.safetensors"
PLAN: Final = "plan.yaml"
KEYS: Final[dict[str, type]] = {
    "name": str, "seed": int, "replications": int, "devices": int, "horizon_s": float, "classes": dict,
    "worlds": list, "gates": list, "curves": list, "watched": list, "plan": dict,
}  # fmt: skip
"""What the summary must hold."""
WORLD_KEYS: Final = (
    *("name", "bad_classes", "coverage", "covered", "states", "never", "variants", "bytes", "server_peak_bps"),
    *("energy_j", "energy", "blast_radius", "p_abort", "p_detect", "p_false_abort", "detect_time_s", "tripped"),
    *("time_to_50_s", "time_to_90_s", "time_to_95_s", "time_to_99_s", "time_to_95_of_reachable_s", "failed_attempts"),
    *("accuracy", "latency_s"),
)
"""The same of each of its worlds."""
_BAND: Final = (5, 50, 95)


class NotARolloutError(FedliteError):
    """A directory does not hold a rehearsed rollout of this version of fedlite."""


@dataclass(frozen=True)
class World:
    """What one world came to: its part of the summary, and the numbers of each of R rehearsals."""

    told: dict[str, Any]
    runs: Mapping[str, Floats]
    """Numbers by name, replications first: see `fedlite.rollout.tally.Tally`."""

    @property
    def name(self) -> str:
        """What the plan calls it."""
        return str(self.told["name"])

    @property
    def is_bad(self) -> bool:
        """Whether there is anything for a gate to find."""
        return self.told["p_false_abort"] is None


@dataclass(frozen=True)
class RolloutData:
    """One rehearsed rollout, read only."""

    path: Path
    plan: str
    summary: dict[str, Any]
    worlds: tuple[World, ...]

    @property
    def name(self) -> str:
        """The plan's name, or the directory's if it has none."""
        return str(self.summary["name"] or self.path.name)

    @property
    def classes(self) -> dict[str, int]:
        """Devices of each class that is there."""
        return dict(self.summary["classes"])

    @property
    def times_s(self) -> Floats:
        """Points of time of every curve, seconds from the rollout's start, shape (T,)."""
        return np.linspace(0.0, float(self.summary["horizon_s"]), POINTS)

    def devices_of(self, name: str | None = None) -> int:
        """Return the devices of a class, or of the fleet."""
        return int(self.summary["devices"]) if name is None else self.classes[name]

    def coverage(self, world: World, name: str | None = None) -> Floats:
        """Return which share of a class, or of the fleet, runs the new model: 5, 50, 95 % of replications, (3, T).

        Percentiles are values that occurred, as in the summary.
        """
        curves = world.runs["coverage"]
        devices = curves.sum(axis=1) if name is None else curves[:, self.position(name)]
        return band(devices) / self.devices_of(name)

    def let_in(self, world: World) -> Floats:
        """Return the share of the fleet that has been let in, median over replications, (T,)."""
        return np.asarray(band(world.runs["let_in"])[1] / self.devices_of())

    def position(self, name: str) -> int:
        """Return where a class stands in the arrays."""
        return int(self.summary["plan"]["profiles"].index(name))


def band(values: Floats) -> Floats:
    """Return 5, 50 and 95 % of replications, which come first in `values`; each a value that occurred."""
    return np.asarray(np.percentile(values, _BAND, axis=0, method="inverted_cdf"))


def is_rollout(path: Path) -> bool:
    """Tell whether a directory holds, or was to hold, a rehearsed rollout and no run."""
    return (path / SUMMARY).exists() or ((path / PLAN).exists() and not (path / "scenario.yaml").exists())


def read_rollout(path: Path) -> RolloutData:
    """Return the rehearsed rollout in `path`.

    Raises
    ------
    NotARolloutError
        If it is none, or has not finished, or a file of it is missing, damaged or of another version.
    """
    if not path.is_dir():
        raise NotARolloutError(f"{path}: no such directory; give one that `fedlite rollout` wrote")
    summary = _summary(path / SUMMARY)
    runs = _runs(path / ARRAYS, summary)
    worlds = tuple(World(told, run) for told, run in zip(summary["worlds"], runs, strict=True))
    return RolloutData(path, _text(path / PLAN), summary, worlds)


def _summary(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise _damaged(path, f"{error.msg} in line {error.lineno}, column {error.colno}, expected JSON") from error
    except RecursionError as error:
        raise _damaged(path, "nested without end, expected JSON") from error
    if not isinstance(found, dict):
        raise _damaged(path, f"got {type(found).__name__}, expected a JSON object")
    for key, kind in KEYS.items():
        if key not in found:
            raise _damaged(path, f"lacks {key}, or was written by another version of fedlite")
        if not isinstance(found[key], (int, float) if kind is float else kind):
            raise _damaged(path, f"{key}: got {type(found[key]).__name__}, expected {kind.__name__}")
    for number, world in enumerate(found["worlds"]):
        absent = [key for key in WORLD_KEYS if not isinstance(world, dict) or key not in world]
        if absent:
            raise _damaged(path, f"worlds.{number} lacks {', '.join(absent)}")
    if not found["worlds"] or not found["classes"] or found["devices"] < 1 or found["replications"] < 1:
        raise _damaged(path, "got no worlds, classes, devices or replications, expected some of each")
    return found


def _runs(path: Path, summary: dict[str, Any]) -> list[dict[str, Floats]]:
    _check_file(path)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, f"not a safetensors file ({' '.join(str(error).split())[:200]})") from error
    shapes = _shapes(summary)
    runs = []
    for number in range(len(summary["worlds"])):
        run = {}
        for name, shape in shapes.items():
            found = tensors.get(f"{number}/{name}")
            if found is None or found.shape != shape:
                got = "nothing" if found is None else f"shape {found.shape}"
                raise _damaged(path, f"{number}/{name}: got {got}, expected shape {shape}")
            run[name] = found.astype(np.float64)
        runs.append(run)
    return runs


def _shapes(summary: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the arrays that pages are made of; there may be more."""
    replications = summary["replications"]
    profiles, steps = (len(summary["plan"].get(key, ())) for key in ("profiles", "steps"))
    own: dict[str, tuple[int, ...]] = {
        "coverage": (profiles, POINTS), "states": (profiles, len(STATES)), "let_in": (POINTS,), "begun_s": (steps,),
        "course": (len(STANDS), POINTS), "update_charge": (profiles, 3),
    } | dict.fromkeys(("stop_s", "tripped", "blast_devices", "blast_device_s", "blast_worst"), ())  # fmt: skip
    return {name: (replications, *shape) for name, shape in own.items()}


def _text(path: Path) -> str:
    _check_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 text ({error.reason} at byte {error.start})") from error


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    folder = path.parent
    if path.exists():
        raise NotARolloutError(f"{path}: got no plain file, expected what fedlite wrote; remove it and {_AGAIN}")
    if path.name == SUMMARY and (folder / PLAN).is_file():
        raise NotARolloutError(
            f"{path}: no such file, so the rehearsals have not finished; finish them with `fedlite rollout"
            f" {folder / PLAN} --out {folder}`"
        )
    if (folder / SUMMARY).is_file():
        raise NotARolloutError(f"{path}: no such file, though the rehearsals had finished; {_AGAIN}")
    raise NotARolloutError(
        f"{path}: no such file, so this is no rollout; give a directory that `fedlite rollout` wrote"
    )


_AGAIN: Final = "copy it back, or rehearse the plan again with another --out"


def _damaged(path: Path, what: str) -> NotARolloutError:
    return NotARolloutError(f"{path}: damaged: {what}; {_AGAIN}")
