"""Synthetic run directories: a plausible fleet, and the awkward ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("synthetic_run", Path(__file__).with_name("synthetic_run.py"))
synthetic_run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(synthetic_run)


@pytest.fixture
def write_run(tmp_path):
    """Return `write(folder, **changes) -> Path`, which writes one synthetic run directory."""

    def write(folder="run", **changes):
        return synthetic_run.write_run(tmp_path / folder, **changes)

    return write
