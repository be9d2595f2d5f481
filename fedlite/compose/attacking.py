"""Attacks and audits on a finished run: carried out, and written into its directory as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.compose.attack_inversion import invert
from fedlite.compose.attack_labels import infer_labels, infer_property
from fedlite.compose.attack_membership import infer_membership
from fedlite.compose.attack_scene import Scene
from fedlite.compose.auditing import audit_run
from fedlite.compose.finished import load_run
from fedlite.errors import UnknownNameError
from fedlite.report.attack_page import sentence, write_attack_page
from fedlite.results.directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS: Final = ("inversion", "membership", "label", "property")


@dataclass(frozen=True)
class Options:
    """What attacks may be told: how to invert, how many shadow models, which class is the property."""

    method: str | None = None
    shadows: int = 16
    label: int | None = None


def attack(run: Path, kind: str, options: Options | None = None) -> dict[str, Any]:
    """Attack a finished run, write `attack-KIND.json` and `.html` into it, and return what came of it.

    Raises
    ------
    FedliteError
        If there is no such attack, the run is none, or it did not record what the attack needs.
    """
    if kind not in ATTACKS:
        raise UnknownNameError("attack", kind, list(ATTACKS))
    chosen = options or Options()
    scene = Scene.of(run)
    if kind == "inversion":
        told = invert(scene, chosen.method)
    elif kind == "membership":
        told = infer_membership(scene, chosen.shadows)
    elif kind == "label":
        told = infer_labels(scene)
    else:
        told = infer_property(scene, chosen.label)
    return _written(run, f"attack-{kind}", told, scene.scenario.name)


def audit(run: Path, delta: float | None = None) -> dict[str, Any]:
    """Audit a finished run with canaries, write `audit.json` and `.html` into it, and return what came of it.

    Raises
    ------
    FedliteError
        As `auditing.audit_run`.
    """
    told = audit_run(run, delta)
    return _written(run, "audit", told, told["name"])


def _written(run: Path, name: str, told: dict[str, Any], title: str) -> dict[str, Any]:
    """Write what was found; true inputs stand on the page, and in no file of numbers."""
    pictures = told.pop("pictures", [])
    directory = RunDirectory(run)
    directory.write_json(f"{name}.json", told)
    # The report on the run's privacy tells what was tried, the last of each kind.
    summary = load_run(run).summary
    others = [each for each in summary.get("attacks") or [] if not str(each).startswith(f"{name}: ")]
    directory.write_json("summary.json", {**summary, "attacks": [*others, f"{name}: {sentence(told)}"]})
    write_attack_page(told, pictures, title, run / f"{name}.html")
    return told
