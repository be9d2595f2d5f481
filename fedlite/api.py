"""The Python API: run scenarios and look at their results as data frames."""

from __future__ import annotations

from fedlite.compose.finished import Run, load_run
from fedlite.compose.finished_rollout import Rollout, load_rollout
from fedlite.compose.finished_study import Sweep, load_study
from fedlite.compose.progress import Progress
from fedlite.estimating import Estimate, StudyEstimate, estimate, estimate_study
from fedlite.runner import Settings, resume, run
from fedlite.scenario.loader import load_scenario
from fedlite.sweeper import SweepProgress, sweep

__all__ = [
    "Estimate",
    "Progress",
    "Rollout",
    "Run",
    "Settings",
    "StudyEstimate",
    "Sweep",
    "SweepProgress",
    "estimate",
    "estimate_study",
    "load_rollout",
    "load_run",
    "load_scenario",
    "load_study",
    "resume",
    "run",
    "sweep",
]
