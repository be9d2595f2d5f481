"""The `report` section: what the page at the end shows."""

from __future__ import annotations

from fedlite.scenario.base import Section


class Report(Section):
    """What is told of a run."""

    title: str | None = None
    """Heading of the page; without it the scenario's name."""
    per_client_evaluation: bool = True
    """Test the final model on each client's own share too, for the fairness figures."""
