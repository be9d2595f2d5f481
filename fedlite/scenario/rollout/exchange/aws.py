"""AWS IoT Jobs: the parameters of CreateJob.

References
----------
AWS IoT API reference: CreateJob, ExponentialRolloutRate, AbortCriteria, RetryCriteria, TimeoutConfig.
"""

from __future__ import annotations

import math
import re
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
from fedlite.scenario.rollout.exchange.writing import at_worst, raw_threshold, unexpressed, unlike
from fedlite.units import UNITS

if TYPE_CHECKING:
    from datetime import datetime

    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.rollout.strategy import Rate
    from fedlite.scenario.strict_yaml import Document

_FAILURES: Final = ("FAILED", "REJECTED", "TIMED_OUT", "ALL")
_MOST_PER_MINUTE: Final = 1000
_MOST_MINUTES: Final = 10_080
_MOST_RETRIES: Final = 10
_MANY: Final = 2**31 - 1
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MINUTE_S: Final = UNITS["time"]["min"]
_LOOKS: Final = "10 min"
_ROLLOUT, _RATE = "jobExecutionsRolloutConfig", "exponentialRate"
_RETRY = "jobExecutionsRetryConfig"
_ASIDE: Final = "it says nothing of how the devices are let in"
_TARGETS: Final = "which devices are meant is the plan's 'fleet'"
_REASONS: Final = {
    "targets": _TARGETS,
    "targetSelection": _TARGETS,
    "document": "what is installed is the plan's 'model'",
    "documentSource": "what is installed is the plan's 'model'",
    "documentParameters": "what is installed is the plan's 'model'",
    "destinationPackageVersions": "what is installed is the plan's 'model'",
    "presignedUrlConfig": _ASIDE,
    "jobTemplateArn": "a template's settings are not in this file",
    "namespaceId": _ASIDE,
    "tags": _ASIDE,
    "schedulingConfig.startTime": "a rehearsal begins at 'fleet.start'",
    "schedulingConfig.endTime": "a rehearsal ends with its 'horizon'",
    "schedulingConfig.endBehavior": "a rehearsal ends with its 'horizon'",
    "schedulingConfig.maintenanceWindows": "cron expressions are not read; write 'download: {window: [22 h, 6 h]}'",
}


def read(document: Document) -> Imported:
    """Return what a job comes to."""
    fields = Fields(document, _REASONS)
    plan = stubbed(
        fields.name("jobId"),
        description=fields.text("description"),
        download=_download(fields),
        strategy={"rate": _rate(fields)},
        gates=_gates(fields),
    )
    return fields.imported(plan)


def _rate(fields: Fields) -> dict[str, Any]:
    most = fields.number((_ROLLOUT, "maximumPerMinute"), 1, _MOST_PER_MINUTE)
    rate: dict[str, Any] = {}
    if fields.get(_ROLLOUT, _RATE) is not None:
        path = (_ROLLOUT, _RATE)
        for key, least, greatest, whole in (
            ("baseRatePerMinute", 1, _MOST_PER_MINUTE, True),
            ("incrementFactor", 1.1, 5, False),
        ):
            number = fields.number((*path, key), least, greatest, whole=whole)
            if fields.get(*path, key) is None:
                fields.wrong((*path, key), "got nothing, expected a number", f"add '{key}'")
            elif number is not None:
                rate[key] = int(number) if whole else number
        criteria = {
            key: int(number)
            for key in ("numberOfNotifiedThings", "numberOfSucceededThings")
            if (number := fields.number((*path, "rateIncreaseCriteria", key), 1, _MANY)) is not None
        }
        if len(criteria) != 1 and not fields.problems:
            fields.wrong(
                (*path, "rateIncreaseCriteria"),
                "got not exactly one of numberOfNotifiedThings and numberOfSucceededThings",
                "tell one of the two",
            )
        rate["rateIncreaseCriteria"] = criteria
    if most is None:
        most = _MOST_PER_MINUTE
        fields.note((_ROLLOUT, "maximumPerMinute"), f"not told, so {_MOST_PER_MINUTE} is taken, the most there may be")
    if rate.get("baseRatePerMinute", 0) > most:
        fields.wrong(
            (_ROLLOUT, _RATE, "baseRatePerMinute"),
            f"got {rate['baseRatePerMinute']}, more than the maximumPerMinute of {most:g}",
            "lower the first or raise the second",
        )
    return {**rate, "maximumPerMinute": int(most)}


def _gates(fields: Fields) -> list[dict[str, Any]]:
    gates = []
    for index in fields.items("abortConfig", "criteriaList"):
        path = ("abortConfig", "criteriaList", index)
        failure = fields.choice((*path, "failureType"), _FAILURES)
        fields.choice((*path, "action"), ("CANCEL",))
        threshold = fields.number((*path, "thresholdPercentage"), 0, 100, whole=False)
        least = fields.number((*path, "minNumberOfExecutedThings"), 1, _MANY)
        if failure in {"REJECTED", "TIMED_OUT"}:
            fields.note(path, f"no metric of a gate counts {failure} executions")
            continue
        if failure == "ALL":
            fields.note((*path, "failureType"), "FAILED is counted; REJECTED and TIMED_OUT are not")
        if threshold is None or least is None or threshold == 0:
            for key in ("thresholdPercentage", "minNumberOfExecutedThings"):
                if not fields.get(*path, key):
                    fields.wrong((*path, key), "got nothing, expected a number above 0", f"add '{key}'")
            continue
        fields.note(path, f"looked at every {_LOOKS}, where AWS looks at every execution")
        gates.append(
            {
                "name": f"abort-{index + 1}",
                "metric": "install_failure",
                "method": "threshold",
                "threshold": percent(threshold),
                "min_executed": int(least),
                "on_fail": "abort",
                "every": _LOOKS,
            }
        )
    return gates


def _download(fields: Fields) -> dict[str, Any]:
    minutes = fields.number(("timeoutConfig", "inProgressTimeoutInMinutes"), 1, _MOST_MINUTES)
    retries = 0
    for index in fields.items(_RETRY, "criteriaList"):
        path = (_RETRY, "criteriaList", index)
        failure = fields.choice((*path, "failureType"), ("FAILED", "TIMED_OUT", "ALL"))
        number = fields.number((*path, "numberOfRetries"), 0, _MOST_RETRIES)
        if failure == "TIMED_OUT":
            fields.note(path, "a device that timed out does not try again")
            continue
        if failure == "ALL":
            fields.note((*path, "failureType"), "failed attempts are repeated; a device that timed out is not")
        retries = int(number or 0)
    return {**NO_CONDITIONS, "retries": retries, "in_progress": None if minutes is None else f"{int(minutes)} min"}


def write(plan: RolloutPlan, start: datetime | None = None) -> tuple[dict[str, Any], list[Left]]:
    """Return the job of a plan, and what AWS cannot express.

    Parameters
    ----------
    plan : RolloutPlan
    start : datetime, optional
        When the job is to begin.
    """
    left: list[Left] = []
    document: dict[str, Any] = {}
    if _JOB_ID.fullmatch(plan.name):
        document["jobId"] = plan.name
    else:
        left.append(Left("name", "an ID of a job is at most 64 letters, digits, '_' and '-'"))
    if plan.description:
        document["description"] = plan.description
    if plan.strategy.paced is not None:
        document[_ROLLOUT] = _written(plan.strategy.paced)
    else:
        left.append(Left("strategy", "AWS IoT Jobs lets devices in at a rate, not in steps or waves"))
    criteria = _criteria(plan, left)
    if criteria:
        document["abortConfig"] = {"criteriaList": criteria}
    document |= _patience(plan, left)
    if start is not None:
        document["schedulingConfig"] = {"startTime": start.strftime("%Y-%m-%d %H:%M")}
    carried = {"download.retries", "download.in_progress"}
    if plan.download.timeout_s is not None:
        left.append(
            Left("download.timeout", "AWS counts from the beginning of the work (in_progress), not from asking")
        )
        carried.add("download.timeout")
    left += unexpressed(plan, carried, "AWS leaves it to the device's own software")
    at_once = _ROLLOUT not in document and "the job goes to all its targets at once, at AWS's default rate"
    return document, [*at_worst(plan, at_once or None, len(criteria)), *left]


def _written(rate: Rate) -> dict[str, Any]:
    config: dict[str, Any] = {"maximumPerMinute": rate.most_per_minute}
    if rate.increase is not None and rate.base_per_minute is not None:
        config[_RATE] = {
            "baseRatePerMinute": rate.base_per_minute,
            "incrementFactor": rate.factor,
            "rateIncreaseCriteria": rate.increase.model_dump(by_alias=True, exclude_none=True),
        }
    return config


def _criteria(plan: RolloutPlan, left: list[Left]) -> list[dict[str, Any]]:
    criteria = []
    for index, gate in enumerate(plan.gates):
        key = f"gates.{index}"
        if not raw_threshold(gate) or gate.threshold is None:
            left.append(
                Left(key, f"AWS cancels at a share of failed executions, not by {gate.method!r} on {gate.metric!r}")
            )
            continue
        share = hundredths(gate.threshold)
        if round(share, 2) != share:
            left.append(
                Left(f"{key}.threshold", f"AWS takes two decimals, so {share:g} is written as {round(share, 2)}")
            )
        if gate.on_fail != "abort":
            left.append(Left(f"{key}.on_fail", f"AWS can only cancel the job, not {gate.on_fail}"))
        left += unlike(key, gate, {"min_executed", "on_fail", "every"})
        criteria.append(
            {
                "failureType": "FAILED",
                "action": "CANCEL",
                "thresholdPercentage": round(share, 2),
                "minNumberOfExecutedThings": gate.min_executed,
            }
        )
    return criteria


def _patience(plan: RolloutPlan, left: list[Left]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if plan.download.in_progress_s is not None:
        minutes = plan.download.in_progress_s / _MINUTE_S
        whole = float(min(max(1, math.ceil(minutes)), _MOST_MINUTES))
        document["timeoutConfig"] = {"inProgressTimeoutInMinutes": plain(whole)}
        if whole != minutes:
            left.append(
                Left("download.in_progress", f"AWS takes whole minutes from 1 to {_MOST_MINUTES}: {whole:g} is written")
            )
    if plan.download.retries:
        if plan.download.retries > _MOST_RETRIES:
            left.append(Left("download.retries", f"AWS repeats at most {_MOST_RETRIES} times, which is written"))
        retries = min(plan.download.retries, _MOST_RETRIES)
        document[_RETRY] = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": retries}]}
    return document
