"""The Python API: run scenarios and look at their results as data frames."""

from __future__ import annotations

from fedlite.compose.telling import Run
from fedlite.run import Progress, Settings, resume, run
from fedlite.scenario.loader import load_scenario
from fedlite.sweep import Sweep, SweepProgress, sweep

__all__ = ["Progress", "Run", "Settings", "Sweep", "SweepProgress", "load_scenario", "resume", "run", "sweep"]
