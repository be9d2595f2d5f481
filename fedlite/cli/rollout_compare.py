"""Plans side by side."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fedlite.compose.finished_rollout import Rollout
    from fedlite.rollout.ranking import Standing


def told_ranking(finished: Sequence[Rollout], out: Path, as_json: bool) -> None:
    """Print plans by how fast, how dangerous and how dear they are, and write the page of it."""
    from fedlite.report.console import rich_table
    from fedlite.report.rollout_compare_page import of_plans, ranking_table, write_rollout_comparison

    plans = of_plans([(one.path, one.summary) for one in finished])
    page = write_rollout_comparison(plans, out)
    if as_json:
        told = [record(one.standing) | {"unbeaten": one.unbeaten} for one in plans]
        print(json.dumps({"plans": told, "report": str(page)}))
        return
    console = terminal()
    console.print(rich_table(ranking_table(plans), console.width))
    console.print(f"report: [link=file://{page.resolve()}]{page}[/link]", soft_wrap=True)


def record(one: Standing) -> dict[str, Any]:
    """Return a standing as plain values; never is null."""
    return {
        key: None if isinstance(value, float) and math.isinf(value) else value for key, value in asdict(one).items()
    }
