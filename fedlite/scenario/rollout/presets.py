"""Rollout plans that somebody else's system has, written as one would write them in a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Preset:
    """A strategy by name."""

    words: str
    """What it does, and where it is from."""
    strategy: dict[str, Any]


def _weights(shares: tuple[str, ...], pause: dict[str, str], *more: dict[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for share in shares[:-1]:
        entries += [{"setWeight": share}, {"pause": pause}, *more]
    return [*entries, {"setWeight": shares[-1]}]


PRESETS: Final[dict[str, Preset]] = {
    "apple-phased": Preset(
        "1, 2, 5, 10, 20, 50 and 100 % on seven days (App Store, release in phases)",
        {"steps": _weights(("1 %", "2 %", "5 %", "10 %", "20 %", "50 %", "100 %"), {"duration": "1 d"})},
    ),
    "play-staged": Preset(
        "5, 10, 20, 50 and 100 %, each after a day and a person's word: the share never rises by itself (Google Play"
        " staged rollout; the shares are assumed, Google leaves them open)",
        {"steps": _weights(("5 %", "10 %", "20 %", "50 %", "100 %"), {"duration": "1 d"}, {"pause": {}})},
    ),
    "aws-exponential": Preset(
        "50 devices a minute, twice as many after every 1,000, at most 1,000 (AWS IoT Jobs, exponential rate; the"
        " numbers are assumed)",
        {
            "rate": {
                "baseRatePerMinute": 50,
                "incrementFactor": 2.0,
                "rateIncreaseCriteria": {"numberOfNotifiedThings": 1000},
                "maximumPerMinute": 1000,
            }
        },
    ),
    "hawkbit-groups": Preset(
        "five groups of 20 %, each once half of the one before has installed it (Eclipse hawkBit with its default"
        " success condition)",
        {
            "waves": [
                {"percent": "20 %"},
                *({"percent": "20 %", "installed": "50 %"} for _ in range(3)),
                {"rest": True, "installed": "50 %"},
            ]
        },
    ),
    "mender-phases": Preset(
        "5 %, 15 % a day later, the rest another day later (Mender, phased deployment; the times are assumed)",
        {"waves": [{"percent": "5 %"}, {"percent": "15 %", "start": "1 d"}, {"rest": True, "start": "2 d"}]},
    ),
}
"""Name -> strategy."""
