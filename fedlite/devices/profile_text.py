"""The text of a profile with its anchors replaced: comments, order and every other number stay as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.devices.profile import Anchor


def with_anchors(text: str, name: str, anchors: Sequence[Anchor]) -> str:
    """Return a profile's YAML text under a new name with these anchors instead of its own.

    Parameters
    ----------
    text : str
        A valid profile file.
    name : str
        Name of the new profile.
    anchors : sequence of Anchor
    """
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        top_level = bool(line) and not line[0].isspace() and not line.startswith("#")
        if top_level:
            inside = line.startswith("anchors:")
        if inside:
            continue
        kept.append(f"name: {name}" if line.startswith("name:") else line)
    while kept and not kept[-1].strip():
        kept.pop()
    return "\n".join([*kept, "", "anchors:", *(line for anchor in anchors for line in _anchor(anchor))]) + "\n"


def _anchor(anchor: Anchor) -> list[str]:
    shape = "x".join(str(size) for size in anchor.input_shape)
    source = anchor.latency_s.source.replace('"', "'")
    own = [f"    terms: [{', '.join(f'{term:.6g}' for term in anchor.terms)}]"] if anchor.terms else []
    return [
        f"  - model: {anchor.model}",
        f"    input: {shape}",
        f"    precision: {anchor.precision}",
        f"    threads: {anchor.threads}",
        *own,
        f"    latency: {{value: {anchor.latency_s.text.split()[0]}, unit: ms, kind: {anchor.latency_s.kind},",
        f'              source: "{source}"}}',
    ]
