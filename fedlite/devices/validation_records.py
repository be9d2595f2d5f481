"""What a validation found: points, groups and their errors, as `fedlite devices validate --json` prints them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.devices.fitted import fitted_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

CLOSE_PERCENT = 25.0
"""What counts as close in `within25`."""


@dataclass(frozen=True)
class Point:
    """One predicted row."""

    row: str
    model: str
    batch: int
    measured: float
    predicted: float
    low: float
    high: float
    net: str = ""
    """ "layers" if the network is known layer by layer, "stand-in" if only its size is, empty where it has no part."""

    @property
    def held(self) -> bool:
        """Whether the measured value lies in the band."""
        return self.low <= self.measured <= self.high

    @property
    def error(self) -> float:
        """Relative error, a fraction."""
        return abs(self.predicted - self.measured) / self.measured


@dataclass(frozen=True)
class GroupResult:
    """One calibrated configuration."""

    device: str
    family: str
    precision: str
    threads: str
    setting: str
    calibration: str
    anchors: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Skipped:
    """A row that was not used, and why."""

    row: str
    device: str
    model: str
    reason: str


@dataclass(frozen=True)
class Validation:
    """All groups of a file, and the rows that could not be used."""

    groups: tuple[GroupResult, ...]
    skipped: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `fedlite devices validate --json` prints; values in SI units, errors in percent."""
        by_family: dict[str, list[Point]] = defaultdict(list)
        for group in self.groups:
            by_family[group.family] += group.points
        every = [point for group in self.groups for point in group.points]
        fitted = fitted_devices()
        by_device = {
            kind: [point for group in self.groups if (group.device in fitted) is seen for point in group.points]
            for kind, seen in (("of the fit", True), ("new", False))
        }
        by_net = {kind: [point for point in every if point.net == kind] for kind in ("layers", "stand-in")}
        return {
            "groups": [_group_json(group) for group in self.groups],
            "by_family": {family: summary(points) for family, points in sorted(by_family.items()) if points},
            "by_net": {kind: summary(points) for kind, points in by_net.items() if points},
            "by_device": {kind: summary(points) for kind, points in by_device.items() if points},
            **summary(every),
            "skipped": [asdict(row) for row in self.skipped],
        }


def summary(points: Sequence[Point]) -> dict[str, float | int | None]:
    """Return n, MAPE, median error and the shares within 25 % and in the band, all in percent (None without points)."""
    if not points:
        return {"n": 0, "mape": None, "median": None, "within25": None, "in_band": None}
    errors = 100.0 * np.array([point.error for point in points])
    return {
        "n": len(points),
        "mape": round(float(errors.mean()), 3),
        "median": round(float(np.median(errors)), 3),
        "within25": round(100.0 * float((errors <= CLOSE_PERCENT).mean()), 2),
        "in_band": round(100.0 * float(np.mean([point.held for point in points])), 2),
    }


def _group_json(group: GroupResult) -> dict[str, Any]:
    record = asdict(group)
    record["points"] = [{**asdict(point), "error": round(100.0 * point.error, 3)} for point in group.points]
    return {**record, **summary(group.points)}
