"""What a teacher is worth to a smaller net: the same student by the labels alone and by lessons, three seeds each.

OMP_NUM_THREADS=1 python benchmarks/distillation/run.py > benchmarks/distillation/results.txt

With names of data sets only those.
"""

from __future__ import annotations

import sys

import numpy as np

from fedlite.compose.bench import Bench
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.objectives.terms.feature_distillation import FeatureDistillation
from fedlite.learning.objectives.terms.generative_distillation import GenerativeDistillation
from fedlite.learning.objectives.terms.relational_distillation import RelationalDistillation
from fedlite.learning.objectives.terms.task_distillation import TaskDistillation
from fedlite.techniques.technique import Lesson, Recipe

PICTURES = {
    "soft targets": Distillation(1.0, 4.0),
    "relations of outputs": RelationalDistillation(),
    "relations of a layer": RelationalDistillation(layer="8"),
    "features": FeatureDistillation("5", 0.3),
}
SCENES = {
    "tasks": TaskDistillation("body"),
    "tasks without relations": TaskDistillation("body", 0.0),
    "relations of a layer": RelationalDistillation(layer="body"),
    "features": FeatureDistillation("body"),
    "generated, head": GenerativeDistillation("body"),
    "generated alone": GenerativeDistillation("body", head=0.0),
}
SETTINGS = (
    ("digits", "cnn", 0.25, 20, "accuracy", PICTURES),
    ("fashion-mnist", "cnn", 0.125, 6, "accuracy", PICTURES),
    ("digit-scenes", "detector", 0.5, 6, "map50", SCENES),
)
SEEDS = (1, 2, 3)


def main() -> None:
    """Print a table for each setting: means over seeds, and what each lesson adds seed by seed."""
    for data, net, width, epochs, metric, lessons in SETTINGS:
        if sys.argv[1:] and data not in sys.argv[1:]:
            continue
        found: dict[str, list[float]] = {}
        for seed in SEEDS:
            effort = Effort(epochs=epochs, seed=seed)
            bench = Bench(net, bench_task(data, (net,), effort), effort)
            recipes = {"the teacher": Recipe(), "labels alone": Recipe(width=width)}
            recipes |= {name: Recipe(width=width, lesson=Lesson((term,))) for name, term in lessons.items()}
            for name, recipe in recipes.items():
                found.setdefault(name, []).append(bench.run([recipe]).shipped.score.metrics[metric])
        print(f"{data}, {net} at width {width:g}, {epochs} epochs on the server and 4 rounds: {metric}")
        alone = np.array(found["labels alone"])
        for name, values in found.items():
            gains = ", ".join(f"{gain:+.3f}" for gain in np.array(values) - alone)
            print(f"  {name:26} {np.mean(values):.3f}   {gains}")


if __name__ == "__main__":
    main()
