"""Runs of a study that failed, as people read them: once for each setting and reason, with its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.report.figure import TextTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.report.study_data import FailedRun


def failed_table(failed: Sequence[FailedRun]) -> TextTable | None:
    """Return the settings with runs that failed, None without any: what fails with one seed often does with all."""
    alike: dict[tuple[str, str], list[str]] = {}
    for label, seed, message in failed:
        alike.setdefault((label, message), []).append(str(seed))
    rows = tuple((label, ", ".join(seeds), message) for (label, message), seeds in alike.items())
    head = ("Setting", "Seeds", "Why")
    return TextTable("Runs that failed; no other table has them", head, rows) if rows else None
