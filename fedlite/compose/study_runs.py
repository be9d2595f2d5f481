"""The runs of a study: which there are, where each has its directory, and how far it has got."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fedlite.compose.program import Program, ProgramRecord
from fedlite.errors import FedliteError
from fedlite.learning.training.accelerator import HOST
from fedlite.results.directory import RunDirectory
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.scenario.schema import Scenario
    from fedlite.scenario.study import LoadedStudy

_UNFIT = re.compile(r"[^A-Za-z0-9._=+%]+")
_SECTIONS = re.compile(r"(?:\w+\.)+(?=\w+=)")
"""What stands before the last part of a dotted key."""
_LONGEST, _LONGEST_SHORT = 60, 80
"""Characters of a label in a name: as it is, and with sections left out of its keys."""


class State(StrEnum):
    """How far a run of a study has got."""

    NEW = "new"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class StudyRun:
    """One run of a study, before or after it has run."""

    label: str
    seed: int
    scenario: Scenario
    path: Path

    @property
    def state(self) -> State:
        """What the directory tells; failures are known to the study's manifest only."""
        if (self.path / "summary.json").exists():
            return State.FINISHED
        return State.INTERRUPTED if (self.path / "scenario.yaml").exists() else State.NEW


def study_runs(
    loaded: LoadedStudy, folder: Path, *, seed_free: bool = False, accelerator: Accelerator = HOST
) -> list[StudyRun]:
    """Return the runs of a study in the order in which they are to be run.

    Parameters
    ----------
    loaded : LoadedStudy
    folder : Path
        The study's directory; each run's directory is named after its label and seed.
    seed_free : bool
        Run each variant once, with the base scenario's own seed, in place of the study's seeds.
    accelerator : Accelerator
        What is to compute them.

    Raises
    ------
    FedliteError
        If two runs have the same label and seed, or a directory holds a run of another scenario or program.
    """
    runs = []
    for variant in loaded.variants:
        if seed_free and variant.seed != loaded.study.seeds[0]:
            continue
        changes = {key: value for key, value in variant.overrides.items() if not (seed_free and key == "seed")}
        scenario = load_scenario(loaded.base, changes)
        name = directory_name(variant.label, scenario.seed)
        runs.append(StudyRun(variant.label, scenario.seed, scenario, folder / name))
    twice = _twice(runs)
    if twice:
        raise FedliteError(
            f"{loaded.path}: list: got the label {twice[0]!r} for several variants, expected each once;"
            " give them labels of their own"
        )
    for run in runs:
        _refuse_other(run, accelerator)
    return runs


def directory_name(label: str, seed: int) -> str:
    """Return the name of a run's directory: readable, the same in every sweep, and distinct for distinct labels.

    What does not suit a file name is replaced, and accents are left out. Of a label that is too long keys lose their
    sections ("training.local.lr=0.1": "lr=0.1"), and only of one that is too long even so the end is cut. Then six
    digits of a hash keep such labels apart.
    """
    ascii_ = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    short = ascii_ if len(ascii_) <= _LONGEST else _SECTIONS.sub("", ascii_)
    plain = _UNFIT.sub("-", short).strip("-.")[:_LONGEST_SHORT] or "variant"
    mark = "" if plain == label else f"-{hashlib.blake2b(label.encode(), digest_size=3).hexdigest()}"
    return f"{plain}{mark}-seed-{seed}"


def _twice(runs: list[StudyRun]) -> list[str]:
    counts = Counter((run.label, run.seed) for run in runs)
    return [label for (label, _), count in counts.items() if count > 1]


def _refuse_other(run: StudyRun, accelerator: Accelerator) -> None:
    """A study must not mix with runs of what it was before it was changed, nor of other code."""
    if run.state is State.NEW:
        return
    if RunDirectory(run.path).read_text("scenario.yaml") != dump_scenario(run.scenario):
        raise FedliteError(
            f"{run.path}: got a run of another scenario, expected one of this study as it is written now;"
            " remove the directory to run it again, or choose another --out"
        )
    directory = RunDirectory(run.path)
    ProgramRecord.read(directory).refuse_other(Program.of_code(run.scenario).on(accelerator), directory)
