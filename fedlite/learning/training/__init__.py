"""Local training of whole chunks of clients, and evaluation."""

from __future__ import annotations

from fedlite.learning.training.records import (
    ClientEvaluation,
    ClientJob,
    CohortResult,
    Evaluation,
    LocalConfig,
)
from fedlite.learning.training.trainer import Trainer

__all__ = ["ClientEvaluation", "ClientJob", "CohortResult", "Evaluation", "LocalConfig", "Trainer"]
