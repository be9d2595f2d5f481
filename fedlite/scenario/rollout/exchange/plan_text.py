"""What an import writes: a plan file whose open ends are commented stubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.scenario.dump import dump
from fedlite.scenario.rollout.devices import STUB

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = """\
# A rollout plan read from a file of {title}.
# Where it says TODO that file holds nothing; `fedlite validate` names every such place.
"""
_COMMENTS: Final = {
    "fleet": """\
# Which devices there are: a scenario's, {scenario: path.yaml}, or for example
#   {devices: 10000, mix: iot-gateway, availability: diurnal, protocol: production}
""",
    "model": """\
# What is installed: one or more variants, each a finished run, {name: int8, run: runs/kws-001, plan: {bits: 8}},
# or numbers that you tell, for example
#   variants:
#     - {name: int8, bytes: 60 kB, memory: 120 KiB, macs: 2.7e6, precision: int8, accuracy: 91 %}
""",
    "download": """\
# {title} waits neither for Wi-Fi nor for a drawn time; fedlite would by default.
""",
    "gates": """\
# What stops it. A raw threshold has no bound on false alarms: consider `method: sequential` with a `baseline`.
""",
}


def plan_text(plan: Mapping[str, Any], title: str) -> str:
    """Return a plan mapping as the text of a file, with a comment above every section that needs one.

    Parameters
    ----------
    plan : mapping
        Keys and values as in a plan file.
    title : str
        What the other system is called.
    """
    lines = []
    for line in dump(dict(plan)).splitlines(keepends=True):
        key = line.partition(":")[0]
        if key in _COMMENTS and (plan[key] == STUB or key in {"download", "gates"}):
            lines.append(_COMMENTS[key].replace("{title}", title))
        lines.append(line)
    return "".join([_HEAD.format(title=title), *lines])
