"""Terms: what a plan adds to the loss of a device's training. One file each."""

from __future__ import annotations

from typing import Final

TERMS: Final[dict[str, str]] = {
    "distillation": "fedlite.learning.objectives.terms.distillation:Distillation",
    "group-lasso": "fedlite.learning.objectives.terms.group_lasso:GroupLasso",
    "feature-distillation": "fedlite.learning.objectives.terms.feature_distillation:FeatureDistillation",
    "generative-distillation": "fedlite.learning.objectives.terms.generative_distillation:GenerativeDistillation",
    "relational-distillation": "fedlite.learning.objectives.terms.relational_distillation:RelationalDistillation",
    "task-distillation": "fedlite.learning.objectives.terms.task_distillation:TaskDistillation",
}
"""Name -> `module:Class`."""
