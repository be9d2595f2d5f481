"""What a processor's name tells before anything is measured: kinds of cores, clusters, clocks, arithmetic.

Reads both the tidy `core_family` of a profile ("cortex-a76") and the free text of benchmark tables ("Rockchip RK3399
(Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)"). Chips whose text names no cores are looked up in `data/socs.csv`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Final

GHZ: Final = 1e9
MHZ: Final = 1e6


@dataclass(frozen=True)
class Kind:
    """A microarchitecture, as ARM's optimisation guides and the vendors describe it."""

    lanes: float
    """fp32 multiply-accumulates per cycle of one core."""
    in_order: bool = False
    half: bool = False
    """fp16 arithmetic (ARMv8.2)."""
    dot: bool = False
    """int8 dot product (ARMv8.4, optional from 8.2 on)."""


_OLD, _MODERN = Kind(4), Kind(8, half=True, dot=True)
_LITTLE, _WIDE = Kind(4, in_order=True, half=True, dot=True), Kind(16, half=True, dot=True)

KINDS: Final[dict[str, Kind]] = {
    "arm1176": Kind(0.5, in_order=True), "a5": Kind(1, in_order=True), "a7": Kind(1, in_order=True),
    "a8": Kind(2, in_order=True), "a9": Kind(2), "a12": Kind(2), "a15": _OLD, "a17": _OLD, "krait": _OLD,
    "a32": Kind(2, in_order=True), "a35": Kind(2, in_order=True), "a53": Kind(4, in_order=True),
    "a55": _LITTLE, "a510": _LITTLE, "a520": _LITTLE,
    "a57": _OLD, "a72": _OLD, "a73": _OLD, "kryo": _OLD, "denver2": Kind(8), "mongoose": _OLD,
    "mongoose3": Kind(12), "mongoose4": Kind(12, half=True, dot=True), "mongoose5": Kind(12, half=True, dot=True),
    "carmel": Kind(8, half=True), "a75": Kind(8, half=True), "a76": _MODERN, "a77": _MODERN, "a78": _MODERN,
    "a710": _MODERN, "a715": _MODERN, "a720": _MODERN, "a725": _MODERN, "n1": _MODERN, "v1": _WIDE,
    "x1": _WIDE, "x2": _WIDE, "x3": _WIDE, "x4": _WIDE, "x925": Kind(24, half=True, dot=True),
    "oryon": _WIDE, "oryon2": _WIDE,
    "apple7": Kind(8), "apple8": Kind(8), "apple9": Kind(12), "apple10": Kind(12),
    "apple11": Kind(12, half=True), "apple12": Kind(12, half=True), "apple13": Kind(12, half=True, dot=True),
    "apple14": _WIDE, "apple15": _WIDE, "apple16": _WIDE, "apple18": _WIDE, "watch6": Kind(8, half=True, dot=True),
    "watch9": Kind(12, half=True, dot=True),
    "c906": Kind(1, in_order=True), "c908": Kind(2, in_order=True), "c910": _OLD, "u74": Kind(0.5, in_order=True),
    "x60": Kind(4, in_order=True),
}  # fmt: skip
"""Cores by name; "a76" is a Cortex-A76."""

_SYNONYMS: Final = {
    "a78ae": "a78", "a78c": "a78", "a76ae": "a76", "kryo280": "a73", "kryo260": "a73", "kryo385": "a75",
    "kryo360": "a75", "kryo460": "a76", "kryo470": "a76", "kryo475": "a76", "kryo485": "a76", "kryo570": "a77",
    "kryo585": "a77", "kryo670": "a78", "kryo680": "x1",
}  # fmt: skip

_ARM = r"(?:cortex[- ]?)(?P<arm>[axnv]\d{1,3}(?:ae|c)?)\b"
# Without its family a core is believed only where a count precedes it: "2xA76", but neither "x2" nor "Apple A7".
_COUNTED = r"\b\d+ ?[x×] ?(?P<bare>[axnv]\d{1,3}(?:ae|c)?)\b"
_OTHER = (
    r"\b(?P<other>carmel|denver2?|c90[68]|c910|arm1176|krait|mongoose\d?|oryon2?|"
    r"apple\d+|watch[69]|u74|x60|kryo(?: ?\d{3})?)\b"
)
_NAME = re.compile(f"{_ARM}|{_COUNTED}|{_OTHER}")
_CLOCK = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?(ghz|mhz)")
_BARE_CLOCK = re.compile(r"(?<![\w.])(\d\.\d+|[1-5])(?![\w.])")
_COUNT = re.compile(r"\b(\d+) ?[x×]|[x×] ?(\d+)\b")
_ALONE = re.compile(r"^(?:cortex-)?([axnv]\d{1,3}(?:ae|c)?)$")


@dataclass(frozen=True)
class Cluster:
    """Equal cores of a processor."""

    kind: str
    """A name of `KINDS`, or empty."""
    clock_hz: float | None
    count: int

    @property
    def speed(self) -> float:
        """Peak fp32 multiply-accumulates per nanosecond of one core."""
        return (KINDS[self.kind].lanes if self.kind else 1.0) * (self.clock_hz or GHZ) / GHZ


@dataclass(frozen=True)
class Cores:
    """What is known of the cores that do the work, the fastest cluster first."""

    clusters: tuple[Cluster, ...]
    dot_math: bool
    """Whether the int8 dot product is there."""

    @property
    def named(self) -> bool:
        """Whether the text named a core at all."""
        return bool(self.kind)

    @property
    def kind(self) -> str:
        """The fastest cluster's kind, or empty."""
        return self.clusters[0].kind if self.clusters else ""

    @property
    def _first(self) -> Kind:
        return KINDS.get(self.kind, Kind(4))

    @property
    def lanes(self) -> float:
        """fp32 multiply-accumulates per cycle of the fastest core."""
        return self._first.lanes

    @property
    def in_order(self) -> bool:
        """Whether the working cores issue in program order."""
        return bool(self.kind) and self._first.in_order

    @property
    def half_math(self) -> bool:
        """Whether they compute in fp16."""
        return bool(self.kind) and self._first.half

    @property
    def clock_hz(self) -> float | None:
        """Clock of the fastest cluster."""
        return self.clusters[0].clock_hz if self.clusters else None

    @property
    def count(self) -> int:
        """Number of cores, 0 if it is not told."""
        return sum(cluster.count for cluster in self.clusters)

    def spread(self, threads: int) -> tuple[float, float]:
        """Return (speed of `threads` threads in fastest cores, share of threads on slower clusters)."""
        speeds = [cluster.speed for cluster in self.clusters for _ in range(max(cluster.count, 1))]
        if not speeds or len(speeds) < threads:
            return float(threads), 0.0
        used = speeds[:threads]
        slow = sum(speed < _SLOWER * speeds[0] for speed in used)
        return sum(used) / speeds[0], slow / threads


_SLOWER = 0.6
"""Relative speed below which a core counts as a little one."""


@lru_cache(maxsize=4096)
def read(text: str, *, little: bool = False) -> Cores:
    """Return what a description tells of the working cores.

    Parameters
    ----------
    text : str
        A core family or the free text of a benchmark table.
    little : bool
        Whether the work was bound to the slow cluster.
    """
    lowered = text.lower().replace("kyro", "kryo")
    alone = _ALONE.match(lowered.strip())
    clusters = [Cluster(_plain(alone[1]), None, 0)] if alone and _plain(alone[1]) in KINDS else _clusters(lowered)
    chip = _chip(lowered)
    # "Kryo" alone is Qualcomm's word for whatever core the chip has.
    if chip is not None and all(cluster.kind in ("", "kryo") for cluster in clusters):
        clock = max((c.clock_hz for c in clusters if c.clock_hz), default=None)
        clusters = list(chip.clusters)
        if clock is not None:  # told beside the chip's name: overclocked or held down
            clusters[0] = replace(clusters[0], clock_hz=clock)
    elif chip is not None:
        clusters = [_completed(cluster, chip) for cluster in clusters]
    ranked = sorted(clusters, key=lambda cluster: (bool(cluster.kind), cluster.speed), reverse=not little)
    if little:
        ranked = [c for c in ranked if c.kind][:1] or ranked[:1]
    dot = bool(ranked) and bool(ranked[0].kind) and KINDS[ranked[0].kind].dot
    return Cores(tuple(ranked), dot and (chip is None or chip.dot_math))


def _completed(cluster: Cluster, chip: Cores) -> Cluster:
    same = [known for known in chip.clusters if known.kind == cluster.kind]
    if cluster.clock_hz is None and same:
        return replace(cluster, clock_hz=same[0].clock_hz, count=cluster.count or same[0].count)
    return cluster


def _plain(name: str) -> str:
    joined = name.replace(" ", "")
    joined = "denver2" if joined == "denver" else joined
    return _SYNONYMS.get(joined, joined if joined in KINDS else "kryo" if joined.startswith("kryo") else joined)


def _clusters(lowered: str) -> list[Cluster]:
    """Return the clusters of "Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4", "1xA76 2.84 + 3xA76 2.42" and so on."""
    found: list[Cluster] = []
    for piece in re.split(r"\+|,|;|\(|\)", lowered):
        match = _NAME.search(piece)
        name = _plain(match["arm"] or match["bare"] or match["other"]) if match else ""
        name = name if name in KINDS else ""
        clock = _CLOCK.search(piece)
        # The name's own digits are no clock and no count.
        rest = piece[: match.start()] + " " + piece[match.end() :] if match and not match["bare"] else piece
        bare = _BARE_CLOCK.search(rest) if match and not clock else None
        hertz = _hertz(clock) if clock else float(bare[1]) * GHZ if bare else None
        if not name and hertz is not None and found and found[-1].kind:
            name = found[-1].kind  # "+ 2.42 GHz x 3": the same core
        if not name and hertz is None:
            continue
        count = _COUNT.search(rest if not (match and match["bare"]) else piece)
        number = int(count[1] or count[2]) if count else 0
        if found and name and found[-1].clock_hz is None and found[-1].kind == name and hertz is not None:
            found[-1] = Cluster(name, hertz, number)  # "Cortex-A72 (ARMv8) (1.8GHz x 4)"
        else:
            found.append(Cluster(name, hertz, number))
    return found


def _hertz(match: re.Match[str]) -> float:
    return float(match[1]) * (GHZ if match[2] == "ghz" else MHZ)


@cache
def _chips() -> tuple[tuple[re.Pattern[str], str], ...]:
    text = (resources.files(__package__) / "data" / "socs.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple((re.compile(r"\b(?:" + row["pattern"] + ")" if row["pattern"][0].isalpha() else row["pattern"]),
                  row["clusters"]) for row in rows)  # fmt: skip


def _chip(lowered: str) -> Cores | None:
    for pattern, clusters in _chips():
        if pattern.search(lowered):
            known = _clusters(clusters.replace(" no dot", ""))
            dot = "no dot" not in clusters and any(KINDS[c.kind].dot for c in known if c.kind)
            return Cores(tuple(known), dot)
    return None
