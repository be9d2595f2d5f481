"""The report on a run's privacy: the verdict first, then every point that a reader has to know before trusting it.

The points are those that a data protection officer would ask for; Ponomareva et al. 2023, "How to DP-fy ML", ask for
most of them. It fails closed: where the mechanism, the sampler, the relation or the accountant of what happened is not
known, the verdict is that there is no formal guarantee, never a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN: Final = "not known"
NEEDED: Final = ("unit", "relation", "mechanism", "sampling", "releases", "cohort_realised", "accountant")
"""What a guarantee cannot do without, keys of `summary.privacy`."""
NONE: Final = "No formal guarantee"


@dataclass(frozen=True)
class Point:
    """One point of the report: a name for programs, a heading, and what there is to say."""

    key: str
    heading: str
    text: str


@dataclass(frozen=True)
class PrivacyReport:
    """The whole of it.

    Attributes
    ----------
    guarantee : bool
    verdict : str
        One sentence.
    paragraph : str
        For those who read no table.
    points : tuple of Point
    """

    guarantee: bool
    verdict: str
    paragraph: str
    points: tuple[Point, ...]

    @property
    def record(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "guarantee": self.guarantee,
            "verdict": self.verdict,
            "paragraph": self.paragraph,
            **{point.key: point.text for point in self.points},
        }


def privacy_report(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> PrivacyReport:
    """Return the report of a run.

    Parameters
    ----------
    summary, manifest : mappings
        `summary.json` and `manifest.json`; what a run does not tell is reported as not known.
    """
    found = summary.get("privacy") or {}
    missing = [key for key in NEEDED if found.get(key) in (None, "")]
    epsilon, delta = found.get("epsilon"), found.get("delta")
    holds = bool(found.get("guarantee")) and not missing and isinstance(epsilon, int | float) and delta is not None
    verdict = _verdict(found, missing, holds=holds)
    points = (
        Point("verdict", "Verdict", verdict),
        Point("trust", "Trust model", _TRUST.get(str(found.get("trust")), UNKNOWN)),
        Point("unit", "Unit", _unit(found)),
        Point("relation", "Neighbouring data", str(found.get("relation") or UNKNOWN)),
        Point("mechanism", "Mechanism", _mechanism(found)),
        Point("sampler", "Sampling as it happened", _sampler(found)),
        Point("accountant", "Accountant", _accountant(found, manifest)),
        Point("epsilon", "Epsilon and delta", _epsilon(found, holds=holds)),
        Point("amplification", "With and without amplification", _sides(found, holds=holds)),
        Point("assumptions", "What amplification rests on", _assumptions(found)),
        Point("drop_outs", "Drop-outs", _drop_outs(found)),
        Point("released", "What is released", _RELEASED if found else "Everything: nothing guards it."),
        Point("tuning", "Tuning", "Not covered: runs by which settings were chosen are releases of their own."),
        Point("public", "Computed beside the guarantee", _PUBLIC),
        Point("arithmetic", "Noise and arithmetic", _ARITHMETIC),
        Point("hypothetical", "Scaling", "None: population and cohort are those that were simulated."),
        Point("empirical", "Attacks that were tried", _empirical(summary)),
        Point("cost", "Utility and cost", _cost(summary)),
        Point("provenance", "Versions", _provenance(summary, manifest)),
    )
    return PrivacyReport(holds, verdict, _paragraph(found, verdict, holds=holds), points)


_TRUST: Final = {
    "central": "Central: the server sees every update and is trusted to add the noise and to keep what it saw to"
    " itself; the guarantee is against whoever sees the released models.",
    "sums": "Central, under secure aggregation: the server sees the sum of a round's updates and no single one. It is"
    " trusted to add the noise, and devices to clip; the guarantee is against whoever sees the released models.",
    "local": "Local: each device adds its noise before sending; the guarantee holds against the server too.",
}
_RELEASED: Final = (
    "The model of every round, not the last alone. Metrics that clients report, tests of the model, early stopping and"
    " this report are not covered."
)
_PUBLIC: Final = (
    "Standardisation of the data, calibration of quantisation and pruning masks are not accounted for: what a scenario"
    " computes of clients' data beside their updates is outside of the guarantee."
)
_ARITHMETIC: Final = (
    "Simulated: noise comes from a seeded generator and floating-point arithmetic. Whoever has the seed can subtract"
    " it, so that this is a statement about the plan and no guarantee for a model that is handed out."
)


def _verdict(found: Mapping[str, Any], missing: list[str], *, holds: bool) -> str:
    if not found:
        return f"{NONE}: no privacy mechanism was at work."
    if holds:
        return (
            f"Formal guarantee for {_unit(found)}: ({found['epsilon']:.4g}, {found['delta']:g})-differential privacy,"
            " if the noise were drawn from a generator that nobody can repeat."
        )
    if missing:
        return f"{NONE}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} {UNKNOWN}."
    return f"{NONE}: {_lower(str(found.get('statement') or UNKNOWN))}"


def _lower(text: str) -> str:
    text = text.removeprefix(f"{NONE}: ").removeprefix(f"{NONE} ")
    return text[:1].lower() + text[1:]


def _unit(found: Mapping[str, Any]) -> str:
    return str(found.get("unit") or UNKNOWN)


def _mechanism(found: Mapping[str, Any]) -> str:
    if not found:
        return "None."
    norms, z = found.get("clipping_norms") or {}, found.get("noise_multiplier")
    said = [str(found.get("mechanism") or UNKNOWN)]
    least, most, planned = norms.get("min"), norms.get("max"), found.get("cohort_planned")
    if least is not None and z is not None:
        across = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}, moving"
        noisy = "each update" if planned is None else f"the sum, which is divided by the planned {planned} owners,"
        deviation = f"{z * least:.4g}" if least == most else f"{z * least:.4g} to {z * most:.4g}"
        said.append(f"clipping norm {across}; noise multiplier {z:.4g}: {noisy} has noise of deviation {deviation}")
        said.append("every owner weighs the same")
    return "; ".join(said) + "."


def _sampler(found: Mapping[str, Any]) -> str:
    if not found:
        return UNKNOWN
    sampling = found.get("sampling")
    drawn, came = found.get("cohort_drawn") or {}, found.get("cohort_realised") or {}
    everybody = found.get("population")
    said = ["none: nothing is claimed of who takes part" if sampling == "none" else str(sampling)]
    said += [] if everybody is None else [f"a population of {everybody}"]
    population, planned = found.get("population"), found.get("cohort_planned")
    if sampling not in (None, "none") and population and planned:
        said.append(f"q = {planned}/{population} = {planned / population:.4g}")
    if drawn.get("min") is not None:
        said.append(f"{drawn['min']:g} to {drawn['max']:g} owners drawn in a round, {drawn['mean']:.4g} on average")
    if came.get("min") is not None:
        said.append(f"{came['min']:g} to {came['max']:g} took part, {came['mean']:.4g} on average")
    said.append(f"{found.get('releases', UNKNOWN)} releases")
    return "; ".join(said) + "."


def _accountant(found: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    if not found.get("accountant"):
        return UNKNOWN
    version = (manifest.get("libraries") or {}).get("dp-accounting", UNKNOWN)
    return f"{found['accountant']} by dp-accounting {version}; privacy losses discretised at 1e-4 where it is PLD."


def _epsilon(found: Mapping[str, Any], *, holds: bool) -> str:
    if not holds:
        return "None is stated."
    said = [f"epsilon {found['epsilon']:.6g} at delta {found['delta']:g}"]
    population = found.get("population")
    if population and found["delta"] * population >= 1:
        said.append(f"delta is no smaller than one over the population of {population}, too large to mean much")
    z, releases = found.get("noise_multiplier"), found.get("releases")
    if z and releases:
        sensitivity = 2.0 if found.get("relation") == "replace-one" else 1.0
        mu = math.sqrt(releases) * sensitivity / z
        said.append(f"without amplification GDP mu {mu:.4g} and zCDP rho {mu * mu / 2:.4g}")
    return "; ".join(said) + "."


def _sides(found: Mapping[str, Any], *, holds: bool) -> str:
    if not holds:
        return "None is stated."
    plain = found.get("epsilon_without_amplification")
    if plain is None:
        return UNKNOWN
    if not found.get("amplification"):
        return f"Stated without: epsilon {plain:.6g}; no amplification is claimed."
    return f"Stated with: epsilon {found['epsilon']:.6g}; without it would be {plain:.6g}."


def _assumptions(found: Mapping[str, Any]) -> str:
    broken = found.get("why_no_amplification") or []
    if broken:
        return f"Broken: {'; '.join(broken)}."
    if found.get("amplification"):
        return "That chance alone decided who took part. In this run everybody who was drawn took part."
    return "Nothing: none is claimed."


def _drop_outs(found: Mapping[str, Any]) -> str:
    drawn, came = found.get("cohort_drawn") or {}, found.get("cohort_realised") or {}
    if found.get("trust") == "local":
        return "They cost no privacy: every update carries noise of its own."
    if drawn.get("mean") is None or came.get("mean") is None:
        return UNKNOWN
    lost = 1 - came["mean"] / drawn["mean"] if drawn["mean"] else 0.0
    return (
        f"{lost:.1%} of those drawn did not take part. The sum is divided by the planned number whoever replies, so"
        f" that the noise multiplier of every round is the planned {found['noise_multiplier']:.4g}."
    )


def _empirical(summary: Mapping[str, Any]) -> str:
    tried = summary.get("attacks") or []
    return "; ".join(str(each) for each in tried) if tried else "None: a formal guarantee alone speaks here."


def _cost(summary: Mapping[str, Any]) -> str:
    metrics = summary.get("metrics") or {}
    told = {name: metrics[name] for name in ("accuracy", "rmse", "map", "loss") if metrics.get(name) is not None}
    said = [f"{name} {value:.4g}" for name, value in told.items()]
    said.append(f"{summary.get('up_bytes', 0):.4g} bytes up, {summary.get('down_bytes', 0):.4g} down")
    said.append(f"{summary.get('energy_j', 0):.4g} J, {summary.get('virtual_time_s', 0):.4g} s of virtual time")
    return "; ".join(said) + "."


def _provenance(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    scenario = ((manifest.get("program") or {}).get("inputs") or {}).get("the scenario", UNKNOWN)
    return (
        f"fedlite {manifest.get('fedlite', UNKNOWN)}, seed {manifest.get('seed', UNKNOWN)}, scenario sha256 {scenario},"
        f" digest of the run {summary.get('digest', UNKNOWN)}."
    )


def _paragraph(found: Mapping[str, Any], verdict: str, *, holds: bool) -> str:
    if not holds:
        return f"{verdict} Clipping, compression and averaging protect nobody by themselves."
    trust = _TRUST.get(str(found.get("trust")), "")
    return f"{verdict} {found.get('statement', '')} {trust} {_ARITHMETIC}"
