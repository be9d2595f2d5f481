"""`fedlite rollout power`: what one gate sees of a regression in one wave, and how often it aborts without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from fedlite.rollout.gates.evidence import Gate
    from fedlite.rollout.wave import Wave

_SEEN: Final = 3
"""Failures of an affected class of which it is told whether a wave has them at all."""


def power(  # noqa: PLR0917 -- typer reads the options from the signature
    method: Annotated[str, typer.Option(help="threshold, exact, sequential, z, mann-whitney or msprt.")],
    baseline: Annotated[float, typer.Option(help="Failure rate, or mean of the metric, without a regression.")],
    effect: Annotated[float, typer.Option(help="The same of affected devices; may equal the baseline.")],
    n: Annotated[int, typer.Option("--n", help="Devices of the wave; with two arms, of each.")],
    alpha: Annotated[float | None, typer.Option(help="Chance of a false alarm; 0.05 if not told.")] = None,
    min_executed: Annotated[int, typer.Option(help="Devices before which the gate is not asked.")] = 1,
    threshold: Annotated[float | None, typer.Option(help="Share of failures that aborts (threshold).")] = None,
    looks: Annotated[
        int | None,
        typer.Option(
            help="Evenly spaced looks. Else: one (exact, z, mann-whitney), after every device (threshold, sequential),"
            " 100 (msprt, sequential with --control)."
        ),
    ] = None,
    sd: Annotated[float | None, typer.Option(help="Standard deviation between devices (mann-whitney, msprt).")] = None,
    class_share: Annotated[float, typer.Option(help="Share of the devices that the regression affects.")] = 1.0,
    control: Annotated[
        bool, typer.Option("--control", help="Compare with a control arm, not with a known baseline (sequential).")
    ] = False,
    margin: Annotated[float | None, typer.Option(help="Worsening that is allowed (mann-whitney).")] = None,
    mixing: Annotated[
        float | None, typer.Option(help="Regression looked for, in standard deviations; 0.25 if not told (msprt).")
    ] = None,
    replications: Annotated[int, typer.Option(help="Simulated waves, where nothing exact is known.")] = 4000,
    seed: Annotated[int, typer.Option(help="Of the simulated waves.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Say what a gate sees of a regression in a wave, how often it aborts without one, and after how many devices.

    Counts against a known baseline are exact (a recursion over the looks), z with one look is the usual formula, all
    else is simulated. Metrics are continuous for mann-whitney and msprt; there an effect below the baseline makes a
    decrease what is bad.
    """
    from fedlite.rollout.wave import Wave

    told = {"alpha": alpha, "threshold": threshold, "margin": margin, "mixing": mixing}
    gate = _gate(method, told, baseline, min_executed, control=control, worse=effect >= baseline)
    wave = Wave(n, baseline, looks, sd=sd, class_share=class_share, replications=replications, seed=seed)
    found = _found(gate, wave, effect)
    if as_json:
        print(json.dumps({"method": method, **found}))
        return
    _show(method, gate, found)


def _gate(
    method: str, told: dict[str, float | None], baseline: float, min_executed: int, *, control: bool, worse: bool
) -> Gate:
    """Return the gate of that name; options that it does not have are refused, not passed over."""
    from fedlite.errors import FedliteError, UnknownNameError
    from fedlite.rollout.gates import METHODS

    if method not in METHODS:
        raise UnknownNameError("--method", method, list(METHODS))
    kind = METHODS[method]
    fields = kind.__dataclass_fields__
    given = {name: value for name, value in told.items() if value is not None}
    for name in [*given, *(["control"] if control else [])]:
        if name not in fields and not (name == "control" and method == "sequential"):
            takes = ", ".join(f"--{key}" for key in told if key in fields)
            raise FedliteError(f"--{name}: got it with --method {method}, which takes {takes}; leave it out")
    if "threshold" in fields and "threshold" not in given:
        raise FedliteError("--threshold: got nothing with --method threshold, expected a share; write 0.05 for 5 %")
    parameters: dict[str, Any] = {**given, "min_executed": min_executed}
    if "baseline" in fields and not control:
        parameters["baseline"] = baseline
    if "direction" in fields:
        parameters["direction"] = "increase" if worse else "decrease"
    return kind(**parameters)


def _found(gate: Gate, wave: Wave, effect: float) -> dict[str, Any]:
    from fedlite.rollout.formulas import chance_of_seeing
    from fedlite.rollout.power import advice, minimum_detectable_effect, operating

    seen, false = operating(gate, wave, effect), operating(gate, wave, wave.baseline)
    found = {
        "n": wave.n,
        "looks": len(wave.seen_at(gate)),
        "baseline": wave.baseline,
        "effect": effect,
        "power": seen.power,
        "false_abort": false.power,
        "median_n_to_abort": seen.median_n,
        "how": seen.how,
        "standard_error": seen.standard_error,
        "false_abort_standard_error": false.standard_error,
        "mde": minimum_detectable_effect(gate, wave),
        "class_share": wave.class_share,
        "false_alarms_bounded": gate.valid == "always" or (gate.valid == "one look" and len(wave.seen_at(gate)) == 1),
        "advice": advice(gate, wave, effect) if effect != wave.baseline else None,
    }
    if wave.sd is None and wave.class_share < 1.0:
        found[f"chance_of_{_SEEN}_failures_in_class"] = chance_of_seeing(wave.n, wave.class_share, effect, _SEEN)
    return found


def _show(method: str, gate: Gate, found: dict[str, Any]) -> None:
    arms = "devices in each of two arms" if gate.two_arms else "devices"
    print(f"{method}: {found['n']} {arms}, looks: {found['looks']}, {found['baseline']:g} -> {found['effect']:g}")
    print(f"  power              {found['power']:.3f}{_error(found['standard_error'])}")
    print(f"  false abort        {found['false_abort']:.3f}{_error(found['false_abort_standard_error'])}")
    print(f"  median n to abort  {found['median_n_to_abort'] or 'never aborts'}")
    least = found["mde"]
    print(f"  seen with 80 %     {'no effect at all' if least is None else f'{least:.4g} or worse'}")
    if (key := f"chance_of_{_SEEN}_failures_in_class") in found:
        print(f"  {_SEEN} failures of the class are in the wave with probability {found[key]:.3f}")
    if not found["false_alarms_bounded"]:
        print("  warning            false aborts are not bounded by alpha at these looks")
    if found["advice"]:
        print(found["advice"])


def _error(standard_error: float) -> str:
    return f" +- {standard_error:.3f} (one standard error)" if standard_error else ""
