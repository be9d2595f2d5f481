"""What went wrong in somebody else's code: why a run ended early, what clients raised, what counting did not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.markup import Safe, tag
from fedlite.report.words import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 10
"""Distinct errors that are shown; the ledger has the reason of every job."""
UNCOUNTED = (
    "in some of these jobs no multiply-accumulate was seen, so that their time and energy are next to nothing here; if"
    " they work (numpy, native code), declare it with --macs or task.app.macs"
)


def failures(summary: dict[str, Any]) -> Safe | None:
    """Return what went wrong; None if nothing did."""
    errors, failure = summary.get("client_errors") or [], summary.get("failure")
    blocks = [
        *([tag("h3", "The run did not come to its end"), tag("p", failure)] if failure else []),
        *(block for error in errors[:MOST] for block in _blocks(error)),
        tag("p", f"and {count(len(errors) - MOST)} other errors: see the column reason of clients.parquet")
        if len(errors) > MOST
        else None,
        tag("p", f"{', '.join(summary['uncounted'])}: {UNCOUNTED}.") if summary.get("uncounted") else None,
    ]
    shown = [block for block in blocks if block is not None]
    return tag("div", *shown, class_="card warn") if shown else None


def lines(summary: dict[str, Any]) -> Iterator[str]:
    """Yield the same for a terminal: each distinct error with its first traceback."""
    errors = summary.get("client_errors") or []
    for error in errors[:MOST]:
        yield _sentence(error)
        if error["traceback"]:
            yield error["traceback"].rstrip()
    if len(errors) > MOST:
        yield f"and {count(len(errors) - MOST)} other errors: see the column reason of clients.parquet"
    if summary.get("uncounted"):
        yield f"{', '.join(summary['uncounted'])}: {UNCOUNTED}"


def _blocks(error: dict[str, Any]) -> Iterator[Safe]:
    yield tag("p", _sentence(error))
    if error["traceback"]:
        yield tag("details", tag("summary", "The first traceback"), tag("pre", tag("code", error["traceback"])))


def _sentence(error: dict[str, Any]) -> str:
    jobs, devices = plural(error["jobs"], f"{error['kind']} job"), plural(error["devices"], "device")
    first = f"first on device {error['first_device']} ({error['first_profile']})"
    return f"{jobs} on {devices} failed in the client's own code, {first}: {error['reason']}"
