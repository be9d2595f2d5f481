"""Eclipse hawkBit: the body of a rollout, as its management API takes it.

References
----------
eclipse-hawkbit/hawkbit, docs/rollout-management.md and the management API's rollout and rollout group models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.scenario.rollout.exchange.fields import (
    NO_CONDITIONS,
    Fields,
    Imported,
    Left,
    hundredths,
    percent,
    plain,
    stubbed,
)
from fedlite.scenario.rollout.exchange.writing import (
    at_worst,
    lettings_in,
    raw_threshold,
    sizes_unlike,
    unexpressed,
    unlike,
)

if TYPE_CHECKING:
    from datetime import datetime

    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.rollout.steps import Step
    from fedlite.scenario.strict_yaml import Document, KeyPath

_DEFAULT_SUCCESS: Final = 50.0
_MOST_GROUPS: Final = 200
_LOOKS: Final = "10 min"
_DIGITS: Final = 6
"""Decimals of a percentage that are written and read."""
_TARGETS: Final = "which devices are meant is the plan's 'fleet'; a wave has 'filter: {tiers, profiles}'"
_USERS: Final = "whether an owner agrees is the plan's 'audience'"
_REASONS: Final = {
    "targetFilterQuery": _TARGETS,
    "groups.targetFilterQuery": _TARGETS,
    "groups.name": "waves have numbers, not names",
    "groups.description": "waves have numbers, not names",
    "distributionSetId": "what is installed is the plan's 'model'",
    "type": "a rehearsal installs as soon as the conditions of 'download' hold",
    "forcetime": "a rehearsal installs as soon as the conditions of 'download' hold",
    "startAt": "a rehearsal begins at 'fleet.start'",
    "weight": "a rehearsal has one rollout at a time",
    "dynamic": "the devices of a rehearsal are those of its beginning",
    "dynamicGroupTemplate": "the devices of a rehearsal are those of its beginning",
    "confirmationRequired": _USERS,
    "groups.confirmationRequired": _USERS,
    "successAction.expression": "hawkBit does not read it",
    "errorAction.expression": "hawkBit does not read it",
    "groups.successAction.expression": "hawkBit does not read it",
    "groups.errorAction.expression": "hawkBit does not read it",
}


@dataclass(frozen=True)
class _Rules:
    """What ends a group, and what a person must do then."""

    success: float = _DEFAULT_SUCCESS
    waits: bool = False
    error: float | None = None


def read(document: Document) -> Imported:
    """Return what a rollout comes to."""
    fields = Fields(document, _REASONS)
    name, description = fields.name("name"), fields.text("description")
    rules = _rules(fields, (), _Rules())
    if fields.get("groups") is not None:
        waves, error, place = _groups(fields, rules)
    else:
        waves, error, place = _equal(fields, rules), rules.error, ("errorCondition",)
    gates = []
    if error:
        fields.note(place, f"counted over all devices and looked at every {_LOOKS}, where hawkBit counts in each group")
        gates = [
            {
                "name": "error-condition",
                "metric": "install_failure",
                "method": "threshold",
                "threshold": percent(error),
                "on_fail": "pause",
                "every": _LOOKS,
            }
        ]
    strategy = {"waves": waves}
    return fields.imported(
        stubbed(name, description=description, download=dict(NO_CONDITIONS), strategy=strategy, gates=gates)
    )


def _rules(fields: Fields, path: KeyPath, default: _Rules) -> _Rules:
    for condition in ("successCondition", "errorCondition"):
        fields.choice((*path, condition, "condition"), ("THRESHOLD",))
    success = _expression(fields, (*path, "successCondition", "expression"))
    error = _expression(fields, (*path, "errorCondition", "expression"))
    action = fields.choice((*path, "successAction", "action"), ("NEXTGROUP", "PAUSE"))
    fields.choice((*path, "errorAction", "action"), ("PAUSE",))
    return _Rules(
        default.success if success is None else success,
        default.waits if action is None else action == "PAUSE",
        default.error if error is None else error,
    )


def _expression(fields: Fields, path: KeyPath) -> float | None:
    value = fields.take(*path)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 100:  # noqa: PLR2004 -- a percentage
        fields.wrong(path, f"got {value!r}, expected a percentage as text", "write for example '50'")
        return None
    return number


def _equal(fields: Fields, rules: _Rules) -> list[dict[str, Any]]:
    amount = int(fields.number(("amountGroups",), 1, _MOST_GROUPS) or 1)
    return [_wave(index, amount, 100.0 / amount, rules) for index in range(amount)]


def _groups(fields: Fields, rules: _Rules) -> tuple[list[dict[str, Any]], float | None, KeyPath]:
    """Return the waves, and the one error condition that a gate holds, with its place."""
    waves, remaining, own = [], 100.0, [rules]
    positions = fields.items("groups")
    if not positions and not fields.problems:
        fields.wrong(("groups",), "got no group, expected at least one", "write one, or 'amountGroups'")
    for index in positions:
        # Percentages are of those that no earlier group has taken.
        share = fields.number(("groups", index, "targetPercentage"), 0, 100, whole=False)
        # They are written with some digits only, so what is a hair beside a share of all is that share.
        taken = round(remaining * (100.0 if share is None else share) / 100.0, _DIGITS)
        remaining = round(remaining - taken, _DIGITS)
        if taken == 0 and not fields.problems:
            fields.wrong(("groups", index, "targetPercentage"), "got a group without targets", "raise it, or remove it")
        is_last = index == len(positions) - 1 and remaining <= 0
        waves.append(_wave(index, index + 1 if is_last else len(positions) + 1, taken, own[-1]))
        own.append(_rules(fields, ("groups", index), rules))
    if remaining > 0:
        fields.note(("groups",), f"{remaining:.6g} % of the targets are in no group and are never let in")
    return waves, *_one_error(fields, rules, [one.error for one in own[1:]])


def _one_error(fields: Fields, rules: _Rules, errors: list[float | None]) -> tuple[float | None, KeyPath]:
    """Return the error condition of all groups, or the rollout's own where they differ, and where it is written."""
    if len(set(errors)) == 1 and errors[0] != rules.error:
        if rules.error is not None:
            fields.note(("errorCondition",), "every group has another one, the same in all, so that is taken")
        return errors[0], ("groups", 0, "errorCondition")
    for index, error in enumerate(errors):
        if error != rules.error:
            fields.note(
                ("groups", index, "errorCondition"), "a gate holds for all waves, so the rollout's own is taken"
            )
    return rules.error, ("errorCondition",)


def _wave(index: int, amount: int, share: float, before: _Rules) -> dict[str, Any]:
    size: dict[str, Any] = {"rest": True} if index == amount - 1 else {"percent": percent(share)}
    if index:
        size |= {"installed": percent(before.success)} if before.success else {"after": "0 s"}
        if before.waits:
            size["approval"] = True
    return size


def write(plan: RolloutPlan, start: datetime | None = None) -> tuple[dict[str, Any], list[Left]]:
    """Return the rollout of a plan, and what hawkBit cannot express.

    Parameters
    ----------
    plan : RolloutPlan
    start : datetime, optional
        When the rollout is to begin.
    """
    left: list[Left] = []
    document: dict[str, Any] = {"name": plan.name}
    if plan.description:
        document["description"] = plan.description
    if plan.strategy.paced is not None:
        left.append(Left("strategy.rate", "hawkBit lets devices in by groups, not at a rate"))
    else:
        document |= _written(plan.steps, left)
    error = _error(plan, left)
    if error is not None:
        document["errorCondition"] = _condition(error)
        document["errorAction"] = {"action": "PAUSE", "expression": ""}
    if start is not None:
        document["startAt"] = int(start.timestamp() * 1000)
    left += unexpressed(plan, (), "hawkBit leaves it to the device's own software")
    at_once = None if plan.strategy.paced is None else "the rollout has no groups and goes to all its targets at once"
    return document, [*at_worst(plan, at_once, int(error is not None)), *left]


def _written(steps: tuple[Step, ...], left: list[Left]) -> dict[str, Any]:
    left += sizes_unlike(steps)
    groups = lettings_in(steps)
    let_in, shares, ends = 0.0, [], []
    for step, stretches in groups:
        remaining = 1.0 - let_in
        shares.append(plain(round(hundredths((step.weight - let_in) / remaining), _DIGITS)) if remaining > 0 else 0)
        let_in = step.weight
        if any(one.hold_s for one in stretches):
            left.append(Left(f"strategy ({step.name})", "a group goes on by what is installed, not after a time"))
        ends.append(_end(stretches))
    if let_in < 1.0:
        left.append(Left("strategy", f"{hundredths(1.0 - let_in):g} % are never let in, so they are in no group"))
    first = ends[0] if len(ends) > 1 else (_DEFAULT_SUCCESS, False)
    document: dict[str, Any] = {
        "successCondition": _condition(first[0]),
        "successAction": {"action": "PAUSE" if first[1] else "NEXTGROUP", "expression": ""},
    }
    even = [plain(round(100.0 / (len(shares) - index), _DIGITS)) for index in range(len(shares))]
    if shares == even and len(set(ends[:-1])) <= 1:
        return {"amountGroups": len(shares), **document}
    own = [_own(share, end, first) for share, end in zip(shares, [*ends[:-1], first], strict=True)]
    return {"groups": own, **document}


def _end(stretches: list[Step]) -> tuple[float, bool]:
    """Return the percentage that must have installed before the next group, and whether a person is asked."""
    installed = next((one.installed for one in stretches if one.installed), None)
    waits = any(one.waits for one in stretches)
    at_once = not waits and not any(one.hold_s for one in stretches)
    told = hundredths(installed) if installed else 0.0 if at_once else _DEFAULT_SUCCESS
    return told, waits


def _own(share: float, end: tuple[float, bool], usual: tuple[float, bool]) -> dict[str, Any]:
    group: dict[str, Any] = {"targetPercentage": share}
    if end != usual:
        group["successCondition"] = _condition(end[0])
        group["successAction"] = {"action": "PAUSE" if end[1] else "NEXTGROUP", "expression": ""}
    return group


def _condition(number: float) -> dict[str, str]:
    return {"condition": "THRESHOLD", "expression": f"{plain(number)}"}


def _error(plan: RolloutPlan, left: list[Left]) -> float | None:
    found: float | None = None
    for index, gate in enumerate(plan.gates):
        key = f"gates.{index}"
        if not raw_threshold(gate) or gate.threshold is None or found is not None:
            left.append(Left(key, "hawkBit has one error condition, a share of failed installations"))
            continue
        found = hundredths(gate.threshold)
        if gate.on_fail != "pause":
            left.append(Left(f"{key}.on_fail", f"hawkBit can only pause, not {gate.on_fail}"))
        left += unlike(key, gate, {"on_fail", "every"})
    return found
