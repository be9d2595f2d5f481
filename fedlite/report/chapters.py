"""The chapters of a run's page that are words and tables: outcomes, exclusions, privacy, limits, origin."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import polars as pl

from fedlite.fleet.outcomes import Outcome
from fedlite.report.figure import TextTable
from fedlite.report.markup import Safe, tag
from fedlite.report.page import Section, table
from fedlite.report.privacy_report import privacy_report
from fedlite.report.words import NOTHING, band, capitalised, count, decimal, percent, quantity
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from fedlite.report.privacy_report import PrivacyReport
    from fedlite.report.run_data import RunData


def outcome_words(value: str) -> tuple[str, str]:
    """Return an outcome's name and its one sentence; a value this version does not know has no sentence."""
    name = capitalised(value.replace("_", " "))
    return (name, Outcome(value).advice) if value in set(Outcome) else (name, "")


def outcomes(counted: pl.DataFrame) -> Safe | None:
    """Return how training jobs ended, with advice."""
    if counted.is_empty():
        return None
    rows = tuple(
        (
            outcome_words(row["outcome"])[0],
            count(row["jobs"]),
            percent(row["share"]),
            quantity(row["energy_j"], "energy"),
            outcome_words(row["outcome"])[1],
        )
        for row in counted.iter_rows(named=True)
    )
    head = ("Outcome", "Jobs", "Share", "Energy", "What happened and what would change it")
    return tag(
        "div", table(TextTable("How the jobs ended", head, rows, frozenset({1, 2, 3})), prose=True), class_="card"
    )


def excluded(fleet: pl.DataFrame) -> Safe | None:
    """Return the device classes that cannot take part, each with its reason; None if all can."""
    out = fleet.filter(pl.col("excluded_reason") != "").sort("devices", descending=True)
    if out.is_empty():
        return None
    rows = tuple(
        (row["profile"], row["plan"], count(row["devices"]), capitalised(row["excluded_reason"]))
        for row in out.iter_rows(named=True)
    )
    content = TextTable(
        "Device classes that cannot take part", ("Class", "Plan", "Devices", "Reason"), rows, frozenset({2})
    )
    return tag("div", table(content, prose=True), class_="card warn", id="excluded")


def server(summary: dict[str, Any]) -> list[str]:
    """Return what the server trained beside the devices, a sentence; nothing where it only added up."""
    told = summary.get("server")
    if not told:
        return []
    time, energy = told["server_hours"], told["server_j"]
    apart = band(HOUR_S * time["low"], HOUR_S * time["high"], "time")
    said = (
        f"The server trained for {quantity(HOUR_S * time['value'], 'time')} ({apart}),"
        f" {quantity(energy['value'], 'energy')} and {decimal(told['money']['value'], 2)} {told['prices']['currency']},"
        f" were it {told['prices']['server']}; no round waits for that."
    )
    return [said]


def downloads(summary: dict[str, Any]) -> Safe | None:
    """Return how many models went down whole and how many as differences, and what the server keeps for that."""
    told = summary.get("downloads")
    if not told:
        return None
    total = told["whole"] + told["deltas"]
    rows = tuple(
        (
            name,
            count(told[number]),
            percent(told[number] / total) if total else NOTHING,
            quantity(told[length], "bytes"),
            quantity(told[length] / told[number], "bytes") if told[number] else NOTHING,
        )
        for name, number, length in (
            ("the whole model", "whole", "whole_bytes"),
            ("the difference to what the device holds", "deltas", "delta_bytes"),
        )
    )
    kept = f"{count(told['kept_versions'])} versions, {quantity(told['kept_bytes'], 'bytes')}"
    head = ("Sent down", "Downloads", "Share", "Bytes", "Each")
    content = TextTable(
        f"Models that reached a device; for the differences the server kept at most {kept}",
        head,
        rows,
        frozenset(range(1, len(head))),
    )
    return tag("div", table(content, prose=True), class_="card", id="downloads")


WEAK_EPSILON = 10.0
"""What the guide "Measure Privacy" of TensorFlow Privacy asks to stay below; above it lies the weakest of the tiers of
Ponomareva et al. 2023, "How to DP-fy ML"."""
WEAK = f"An ε above {WEAK_EPSILON:g} is a weak formal guarantee: add noise or clients, or run fewer rounds."


def privacy(run: RunData) -> Safe | None:
    """Return the privacy guarantee, verdict first, with all that it rests on; None for a run without a mechanism."""
    found = run.summary.get("privacy") or run.summary.get("epsilon")
    if not found:
        return None
    stated = found.get("epsilon") is not None
    told = privacy_report(run.summary, run.manifest) if "guarantee" in found else None
    heading = f"ε = {decimal(found['epsilon'], 4)} at δ = {decimal(found.get('delta'))}" if stated else "No ε is stated"
    return tag(
        "div",
        tag("h3", heading),
        tag("p", str(found.get("statement") or "The run recorded no statement of what this protects.")),
        tag("p", WEAK) if stated and found["epsilon"] > WEAK_EPSILON else None,
        None if told is None else table(_points(told), prose=True),
        class_="card",
    )


def _points(told: PrivacyReport) -> TextTable:
    rows = tuple((point.heading, point.text) for point in told.points)
    return TextTable("What the guarantee rests on", ("Point", "What holds"), rows)


MOST_LOST = 10
"""Lost rounds that are told one by one."""


def secure_aggregation(summary: dict[str, Any]) -> Safe | None:
    """Return what secure aggregation kept from the server, and which rounds it lost; None for a run without."""
    found = summary.get("secure_aggregation")
    if not found:
        return None
    sums, lost = found["summed"], found["lost"]
    of = f" of {min(sums)} to {max(sums)} clients" if sums else ""
    kept = (
        f"The server got {len(sums)} sums{of} and no update of a single one: masks between {found['neighbours']}"
        f" neighbours each, numbers of {found['bits']} bits masked modulo 2 to the {found['modulus_bits']}, secrets in"
        f" shares of which {found['threshold']} find them again. {100 * found['clipped']:.3g} % of the numbers were cut"
        f" off at {found['clip']:g}. Its keys came from the run's seed: simulated, they protect nobody."
    )
    return tag(
        "div",
        tag("h3", f"Secure aggregation: {len(sums)} rounds summed, {len(lost)} lost"),
        tag("p", kept),
        tag("p", _lost(found)) if lost else None,
        class_="card",
    )


def _lost(found: dict[str, Any]) -> str:
    lost = found["lost"]
    rounds = "; ".join(f"round {each['round']} in its trip {each['trip']!r}" for each in lost[:MOST_LOST])
    more = f"; and {len(lost) - MOST_LOST} more" if len(lost) > MOST_LOST else ""
    expected = f"where {100 * found['expected_drop_out']:.3g} % drop out, {100 * found['chance_to_lose']:.3g} % at most"
    return f"Lost, for too few were left: {rounds}{more}; {expected} were to be."


LIMITS = (
    (
        "Devices are modelled, not measured: time, energy and memory come from device profiles and cost models. "
        "Training, its results and bytes are real."
    ),
    (
        "The energy band adds up the bands of the single jobs as if all erred in the same direction, so it is wide on "
        "purpose. A job's band holds the central 80 % of the errors of computing seen when predicting devices that "
        "were not fitted, and 40 % down and 60 % up for its radio: every number of it is second hand or assumed."
    ),
    (
        "Other load on a device, background limits of its operating system, ageing batteries and radio congestion "
        "between neighbours are not in the model."
    ),
    "Who is available when is drawn from the scenario's availability model; a real fleet has habits of its own.",
    "One run is one draw. Repeat it with other seeds (fedlite sweep) before deciding on a small difference.",
)


def honesty(classes: pl.DataFrame, run: RunData, column: str) -> Section:
    """Return what the model does not know: the energy band of each class and the limits of the method."""
    lead = "How far the numbers on this page can be trusted."
    notes = tag("div", tag("ul", *(tag("li", text) for text in LIMITS), class_="notes"), class_="card")
    return Section("limits", "What the model does not know", lead, [_bands(classes, run.fleet, column), notes])


def _bands(classes: pl.DataFrame, fleet: pl.DataFrame, column: str) -> TextTable | None:
    known = classes.filter(pl.col("energy_j") > 0).sort("energy_j", descending=True)
    if known.is_empty():
        return None
    calibrated = "calibration" in fleet.columns
    anchors = _calibrations(fleet, column) if calibrated else {}
    rows = tuple(
        (
            str(row[column]),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
            " to ".join(percent(row[end] / row["energy_j"], 0) for end in ("energy_low_j", "energy_high_j")),
            *([anchors.get(str(row[column]), NOTHING)] if calibrated else []),
        )
        for row in known.iter_rows(named=True)
    )
    head = ("Class", "Energy of all jobs", "Band", "Band of the estimate", *(["Calibration"] if calibrated else []))
    return TextTable("Uncertainty of the energy by device class", head, rows, frozenset({1, 2, 3}))


def _calibrations(fleet: pl.DataFrame, column: str) -> dict[str, str]:
    known = fleet.group_by(column).agg(pl.col("calibration").cast(pl.String).unique().sort())
    return {str(name): ", ".join(kinds) for name, kinds in known.iter_rows()}


def reproduction(run: RunData) -> Safe:
    """Return the command, versions, seed and digest that make the run again."""
    summary, manifest = run.summary, run.manifest
    seed = summary.get("seed", manifest.get("seed"))
    command = manifest.get("command") or (
        f"fedlite run {shlex.quote(str(run.path / 'scenario.yaml'))} --seed {seed} --json"
    )
    facts = [
        ("Digest", tag("code", str(summary["digest"]), class_="long")),
        ("Seed", str(seed)),
        ("Backend", " · ".join(str(summary[key]) for key in ("backend", "backend_why", "engine") if summary.get(key))),
        *(
            (_KEYS.get(key, capitalised(key.replace("_", " "))), _words(value))
            for key, value in sorted(manifest.items())
            if key not in _TOLD
        ),
        ("Computed in", quantity(summary.get("wall_time_s"), "time")),
    ]
    listed = (part for name, fact in facts if fact for part in (tag("dt", name), tag("dd", fact)))
    return tag(
        "div",
        tag("p", "The same scenario, seed and versions give the same digest, on any number of actors:"),
        tag("pre", tag("code", command), tabindex="0"),
        tag("dl", *listed, class_="facts"),
        class_="card",
    )


_KEYS = {
    "macs": "Multiply-adds of one forward pass",
    "model_values": "Values of the full model",
    "fedlite": "fedlite",
}
_TOLD = frozenset(
    {"seed", "backend", "backend_why", "engine", "digest", "format", "command", "counted_work", "program"}
)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        said = ((key, _words(item)) for key, item in value.items())
        return ", ".join(words if key == "name" else f"{key} {words}" for key, words in said if words)
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return "" if value is None else str(value)


def scenario(text: str) -> Safe:
    """Return the resolved scenario, folded."""
    inside = tag("pre", tag("code", text), tabindex="0")
    return tag("div", tag("details", tag("summary", "The resolved scenario (YAML)"), inside), class_="card")
