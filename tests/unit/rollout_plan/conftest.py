"""A small plan in order, and changes to one part of it."""

from __future__ import annotations

import json

import pytest

from fedlite.errors import InvalidFileError
from fedlite.scenario.dump import dump
from fedlite.scenario.rollout.exchange import load
from fedlite.scenario.rollout.loading import parse_rollout

PLAN = """\
name: small
fleet: {devices: 1000, mix: {pixel-4: 50 %, galaxy-a21s: 50 %}}
model:
  variants:
    - {name: int8, bytes: 4 MB, memory: 20 MiB, network: mobilenet-v1, accuracy: 70 %}
strategy:
  steps:
    - setWeight: 1 %
    - pause: {duration: 24 h}
    - analysis: [installs]
    - setWeight: 100 %
gates:
  - {name: installs, metric: install_failure, method: sequential, baseline: 1 %}
"""
PARTS = {
    "fleet": "{devices: 1000, mix: {pixel-4: 50 %, galaxy-a21s: 50 %}}",
    "variant": "{name: int8, bytes: 4 MB, memory: 20 MiB, network: mobilenet-v1, accuracy: 70 %}",
    "strategy": PLAN[PLAN.index("strategy:") : PLAN.index("gates:")],
    "gate": "{name: installs, metric: install_failure, method: sequential, baseline: 1 %}",
    "gates": PLAN[PLAN.index("gates:") :],
}
"""What a test replaces."""


class Plans:
    """The plan with parts of it replaced, read or refused."""

    text = PLAN

    @staticmethod
    def changed(more="", **parts):
        text = PLAN
        for name, part in parts.items():
            assert PARTS[name] in text
            text = text.replace(PARTS[name], part)
        return text + more

    def read(self, more="", **parts):
        return parse_rollout(self.changed(more, **parts), "plan.yaml")

    def mistakes(self, more="", **parts):
        """Return everything that is wrong, one line each."""
        try:
            self.read(more, **parts)
        except InvalidFileError as error:
            return [str(problem) for problem in error.problems]
        return []


@pytest.fixture
def plans():
    return Plans()


@pytest.fixture
def imported(tmp_path):
    """Return a function that imports a document of another system, or a text."""

    def read(system, document, text=None):
        path = tmp_path / ("doc.yaml" if system == "argo" else "doc.json")
        path.write_text(text or (dump(document) if system == "argo" else json.dumps(document, indent=1)))
        return load(path, system)

    return read
