"""What benchmarks that are studies share: running what is not finished, and reading what is."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from fedlite import Settings, sweep
from fedlite.compose.study_runs import StudyRun, directory_name
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_scenario

if TYPE_CHECKING:
    from fedlite.scenario.study import LoadedStudy


def run_open(study: Path, folder: Path) -> None:
    """Run what is not finished yet of a study, and print what failed."""
    done = sweep(study, out=folder, settings=Settings(backend="local"))
    for failure in done.failed:
        print(f"{study.stem}: {failure.label}, seed {failure.seed}: {failure.error}")


def finished(loaded: LoadedStudy, folder: Path) -> tuple[list[StudyRun], list[str]]:
    """Return the runs of the variants whose seeds are all finished, and the labels of the other variants."""
    runs = [
        StudyRun(
            one.label,
            one.seed,
            load_scenario(loaded.base, one.overrides),
            folder / directory_name(one.label, one.seed),
        )
        for one in loaded.variants
    ]
    open_ = {run.label for run in runs if not is_whole(run)}
    labels = dict.fromkeys(run.label for run in runs)
    return [run for run in runs if run.label not in open_], [label for label in labels if label in open_]


def is_whole(run: StudyRun) -> bool:
    """Return whether a run is finished and is one of the study as it is written now."""
    if not (run.path / "summary.json").exists():
        return False
    if (run.path / "scenario.yaml").read_text() != dump_scenario(run.scenario):
        raise SystemExit(f"{run.path}: a run of another scenario; remove it and run the study again")
    return True


def machine() -> dict[str, object]:
    """Return what computes: processor, cores, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version()}
