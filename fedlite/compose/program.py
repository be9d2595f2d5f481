"""What a run's bits rest on beside its scenario: versions, sources and data, written at its start and held to later.

A resumed run takes finished chunks from its journal and computes the others. Both must come from the same program, or
the digest belongs to neither. Ray is no part of it: it carries arrays and changes none, and a run may go on without.
Nor is what of fedlite only tells results. What one processor's kernels compute another's need not, so their kind is;
the kind and model of an accelerator all the more.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fedlite
from fedlite import sources
from fedlite.engine.task import digest
from fedlite.errors import FedliteError
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.names import references_in
from fedlite.scenario.rollout.plan import as_written as plan_as_written
from fedlite.scenario.schema import as_written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.engine.task import WorkerSpec
    from fedlite.fleet.state import Fleet
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.results.directory import RunDirectory
    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.schema import FleetScenario

PROGRAM_FILE: Final = "program.json"
"""File of the run directory that says what program the run is of, and when it was continued."""
LIBRARIES: Final = (
    "torch",
    "numpy",
    "flwr",
    "zstandard",
    "constriction",
    "scikit-learn",
    "dp-accounting",
    "flwr-datasets",
)
"""Whatever computes: arrays, rounds, lengths of packets, data, noise, partitions."""
SCENARIO: Final = "the scenario"
"""How it is called among the inputs."""
_TELLING: Final = frozenset({"cli", "report"})
"""Packages of fedlite that decide no result."""
_READ_BY_NAME: Final = (".py", ".toml")
"""Files that change a program by being there."""
_SUFFIXES: Final = (".py", ".yaml", ".csv", ".json")


class OtherProgramError(FedliteError):
    """A run was begun by another program than the one that is here."""


@dataclass(frozen=True)
class Program:
    """What a run's bits rest on.

    Attributes
    ----------
    versions : mapping
        Of Python, of the libraries that compute and of fedlite, and the kind of processor and of accelerator.
    sources : mapping
        SHA-256 of fedlite's own code, and of each file of the user's own code and beside it.
    inputs : mapping
        SHA-256 of the scenario, of what the workers are built from (the data among it), of the device profiles, and of
        the files of a trace and of the user's data. Empty where only the code is known.
    """

    versions: Mapping[str, str]
    sources: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_code(cls, scenario: FleetScenario, app: Mapping[str, Path] | None = None) -> Program:
        """Return the code behind a scenario, without its data; `app` has the files of a Flower app by name."""
        return cls._of_code(as_written(scenario), app)

    @classmethod
    def _of_code(cls, written: Mapping[str, Any], app: Mapping[str, Path] | None = None) -> Program:
        files = dict(app or {})
        for reference in references_in(written):
            files.update(sources.files_of_module(reference.partition(":")[0]))
        own = {name: sources.hash_of(path) for name, path in sorted(files.items())}
        return cls(_versions(), {"fedlite": _fedlite(), **own})

    @classmethod
    def of(
        cls, scenario: FleetScenario, worker: WorkerSpec, fleet: Fleet, app: Mapping[str, Path] | None = None
    ) -> Program:
        """Return the whole program of a campaign that is ready to train."""
        code = cls.of_code(scenario, app)
        inputs = {SCENARIO: digest({"text": dump_scenario(scenario)}, {}), "the data or model": worker.digest}
        return replace(code, inputs=inputs | _of_data(scenario) | _of_fleet(fleet, scenario.fleet.availability))

    @classmethod
    def of_rollout(cls, plan: RolloutPlan, fleet: Fleet) -> Program:
        """Return what rehearsals of a plan rest on beside their workers' digest, which has the plan and its models."""
        code = cls._of_code(plan_as_written(plan))
        # Gates rest on it, and nothing that trains does.
        versions = {**code.versions, "scipy": metadata.version("scipy")}
        return cls(versions, code.sources, _of_fleet(fleet, plan.fleet.availability))

    def on(self, accelerator: Accelerator) -> Program:
        """Return the program as it runs on an accelerator."""
        return replace(self, versions={**self.versions, "accelerator": accelerator.label})

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return digest(asdict(self), {})

    def differences(self, begun: Program) -> list[str]:
        """Return in words what is not as it was when a run began; what either does not know is left out."""
        told = [
            f"{name} {self.versions.get(name)} (was {was})" for name, was in _changed(begun.versions, self.versions)
        ]
        for name, was in _changed(begun.sources, self.sources):
            if was is None and not name.endswith(_READ_BY_NAME):
                continue  # an app may well write files of its own
            now = self.sources.get(name)
            verb = "is new" if was is None else "is gone" if now is None else "was edited"
            told.append(f"{'the code of fedlite' if name == 'fedlite' else name} {verb}")
        if begun.inputs and self.inputs:
            edited = [name for name, _ in _changed(begun.inputs, self.inputs)]
            # An edited scenario may well mean other data: of that nobody is told twice.
            told += [f"{name} was edited" for name in ([SCENARIO] if SCENARIO in edited else edited)]
        return told


@dataclass(frozen=True)
class ProgramRecord:
    """What a run directory says of its program, and when it was continued."""

    program: Program
    resumed: Sequence[Mapping[str, str]] = ()

    @classmethod
    def read(cls, directory: RunDirectory) -> ProgramRecord:
        """Return what is written in a run directory.

        Raises
        ------
        FedliteError
            If it is missing or damaged.
        """
        path = directory.path / PROGRAM_FILE
        if not path.exists():
            raise OtherProgramError(
                f"{directory.path}: got no {PROGRAM_FILE}, which says what program began the run; {_remedy(directory)}"
            )
        try:
            found = json.loads(directory.read_text(PROGRAM_FILE))
            resumed = [{"at": str(each["at"])} for each in found.pop("resumed")]
            return cls(program_of(found), resumed)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise OtherProgramError(f"{path}: got a damaged file ({error}); {_remedy(directory)}") from error

    def write(self, directory: RunDirectory) -> None:
        """Write it in one step."""
        directory.write_json(PROGRAM_FILE, {**asdict(self.program), "resumed": self.resumed})

    def refuse_other(self, program: Program, directory: RunDirectory) -> None:
        """Raise OtherProgramError if that program, as far as it is known, is not the one that began the run."""
        if changed := program.differences(self.program):
            raise OtherProgramError(
                f"{directory.path}: got {'; '.join(changed)}; expected what the run was begun with, or its results"
                f" would belong to neither; restore it, or {_remedy(directory)}"
            )

    def go_on(self, program: Program, directory: RunDirectory) -> ProgramRecord:
        """Write down that the run is continued now, and return the record with that.

        Raises
        ------
        OtherProgramError
            If that program is not the one that began it.
        """
        self.refuse_other(program, directory)
        now = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        record = ProgramRecord(self.program, [*self.resumed, now])
        record.write(directory)
        return record


def _of_data(scenario: FleetScenario) -> dict[str, str]:
    """Return the SHA-256 of the file that the data is read from, if it is one."""
    data = None if scenario.task is None else scenario.task.data
    return {} if data is None or isinstance(data, str) else {f"the data {data.path}": sources.hash_of(data.path)}


def _of_fleet(fleet: Fleet, availability: object) -> dict[str, str]:
    """Return the SHA-256 of the device profiles, and of the trace if there is one."""
    found = {"a device profile": digest({"profiles": [repr(profile) for profile in fleet.population.profiles]}, {})}
    trace = getattr(availability, "file", None)
    if trace is not None:
        found[f"the trace {trace}"] = sources.hash_of(Path(trace))
    return found


def program_of(found: Mapping[str, Any]) -> Program:
    """Return a program out of the JSON that was written of one.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If it is none.
    """
    parts = [{str(name): str(value) for name, value in found[key].items()} for key in ("versions", "sources", "inputs")]
    return Program(*parts)


def _remedy(directory: RunDirectory) -> str:
    return f"start a new run with another --out than {directory.path}"


def _changed(begun: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str | None]]:
    return [(name, begun.get(name)) for name in sorted({*begun, *now}) if begun.get(name) != now.get(name)]


@cache
def _versions() -> dict[str, str]:
    import torch

    found = {"fedlite": fedlite.__version__, "python": platform.python_version()}
    found["processor"] = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


@cache
def _fedlite() -> str:
    folder = Path(fedlite.__file__).parent
    files = [path for path in sources.files_in(folder, _SUFFIXES) if path.relative_to(folder).parts[0] not in _TELLING]
    return sources.hash_of_all(files, folder)
