"""What every kind of run leaves behind: its tables, its model, and what all summaries and manifests have."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fedlite
from fedlite.compose import watching
from fedlite.compose.calendar import calendar
from fedlite.compose.finished import Run, completed, failed
from fedlite.devices import carbon
from fedlite.engine.task import digest
from fedlite.fleet.outcomes import Outcome
from fedlite.flower.app_exchange import failure_key
from fedlite.results.directory import FORMAT, RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compose.backend import Choice
    from fedlite.compose.program import ProgramRecord
    from fedlite.errors import FedliteError
    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.flower.tape import Seen
    from fedlite.learning.training.accelerator import Accelerator
    from fedlite.results.rounds import Rounds
    from fedlite.scenario.schema import FleetScenario

Array = NDArray[Any]

LIBRARIES = ("flwr", "torch", "ray", "numpy", "polars", "pydantic", "dp-accounting", "scikit-learn")


@dataclass(frozen=True)
class Trained:
    """The last global model, its keys, and what its own server last said of it (of an app, under the app's names).

    `failure` is why the server did not come to its end, if it raised; `verdict` says why training ended before its last
    round, if it did; `privacy` what an app's own strategies guarantee.
    """

    names: Sequence[str]
    final: Sequence[Array]
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: FedliteError | None = None
    verdict: str | None = None
    privacy: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Particulars:
    """What a run directory holds that depends on the kind of campaign.

    Attributes
    ----------
    fleet : rows of the table of device classes
    evaluation : columns of the table of tests of the final model
    manifest, summary : mappings
        What is added to those that every run has.
    seen : Seen, optional
        What an adversary saw.
    """

    fleet: Sequence[Mapping[str, Any]]
    evaluation: Mapping[str, Array]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    seen: Seen | None = None


@dataclass(frozen=True)
class Record:
    """What happened in a run, whatever its clients computed, and the directory that it goes to."""

    directory: RunDirectory
    scenario: FleetScenario
    fleet: Fleet
    ledger: Ledger
    rounds: Rounds
    trained: Trained
    tracebacks: Mapping[str, str]
    """The first traceback of each error of clients' own code."""
    end_s: float
    wall_s: float
    engine: str
    choice: Choice
    begun: ProgramRecord
    accelerator: Accelerator

    @property
    def digest(self) -> str:
        """SHA-256 over the final arrays and the ledger: the same for every backend and number of actors."""
        pairs = zip(self.trained.names, self.trained.final, strict=True)
        arrays = {f"{position} {name}": values for position, (name, values) in enumerate(pairs)}
        visits = "" if self.fleet.check_ins is None else f" {self.fleet.check_ins.visits.digest}"
        return hashlib.sha256(f"{digest({}, arrays)} {self.ledger.digest()}{visits}".encode()).hexdigest()

    def write(self, name: str, particulars: Particulars) -> Run:
        """Write everything, the summary last: a directory with a summary is complete."""
        directory = self.directory
        directory.write_table("clients.parquet", self.ledger.columns())
        directory.write_table("rounds.parquet", self.rounds.rows)
        directory.write_table("fleet.parquet", particulars.fleet)
        if self.fleet.check_ins is not None:
            directory.write_table("check_ins.parquet", self.fleet.check_ins.visits.columns())
        directory.write_table("evaluation.parquet", particulars.evaluation)
        directory.write_model(self.trained.names, self.trained.final)
        if particulars.seen is not None:
            watching.write(directory, self.scenario, particulars.seen)
        directory.write_json("manifest.json", self._manifest(particulars.manifest))
        directory.write_json("summary.json", self._summary(name, particulars.summary))
        return completed(directory) if self.trained.failure is None else failed(directory)

    def _summary(self, name: str, particulars: Mapping[str, Any]) -> dict[str, Any]:
        ledger = self.ledger.columns()
        moved = ledger["up_bytes"] + ledger["down_bytes"]
        visits, start_s = self._visits, self.scenario.fleet.start_s
        energy_j = float(ledger["energy_j"].sum()) + visits["energy_j"]
        return {
            "run_dir": str(self.directory.path),
            "name": name,
            "format": FORMAT,
            "digest": self.digest,
            "model_sha256": self.directory.model_sha256,
            "seed": self.scenario.seed,
            "rounds": len(self.rounds.rows) - 1,
            "virtual_time_s": self.end_s - start_s,
            "wall_time_s": self.wall_s,
            "energy_j": energy_j,
            **{
                name: float(ledger[name].sum()) + visits[name]
                for name in ("energy_low_j", "energy_high_j", "radio_j", "tail_j")
            },
            "carbon_g": float(carbon.grams(energy_j, self.scenario.fleet.carbon_grid)),
            **{name: int(ledger[name].sum()) + int(visits[name]) for name in ("up_bytes", "down_bytes")},
            "metered_bytes": int(moved[ledger["metered"]].sum()) + int(visits["metered_bytes"]),
            "calendar": calendar(self.fleet, ledger, self.rounds.rows, start_s, self.end_s),
            "verdict": self.trained.verdict or _nothing_learned(ledger) or _nobody_arrived(ledger),
            "outcomes": dict(sorted(Counter(ledger["outcome"].tolist()).items())),
            "failure": None if self.trained.failure is None else str(self.trained.failure),
            "client_errors": client_errors(ledger, self.tracebacks),
            "clients_per_second": clients_per_second(self.rounds.rows),
            "devices": len(self.fleet),
            **self._engine,
            **particulars,
        }

    @property
    def _visits(self) -> Mapping[str, float]:
        """Sums over all check-ins, each nothing where devices do not check in."""
        return Counter() if self.fleet.check_ins is None else self.fleet.check_ins.visits.sums

    @property
    def _engine(self) -> dict[str, str]:
        """What ran it, and why that."""
        return {"backend": self.choice.backend, "backend_why": self.choice.why, "engine": self.engine}

    def _manifest(self, particulars: Mapping[str, Any]) -> dict[str, Any]:
        """Return what made the run."""
        return {
            "format": FORMAT,
            "fedlite": fedlite.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: metadata.version(name) for name in LIBRARIES},
            "program": asdict(self.begun.program),
            "resumed": self.begun.resumed,
            "seed": self.scenario.seed,
            "model_values": sum(int(np.size(array)) for array in self.trained.final),
            "accelerator": {**asdict(self.accelerator), "promise": self.accelerator.promise},
            **self._engine,
            **particulars,
        }


def client_errors(ledger: Mapping[str, Array], tracebacks: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one entry per kind of message, type of error and place in the clients' code, in the order of the first.

    Parameters
    ----------
    ledger : columns
    tracebacks : mapping
        The first traceback of each error, by `failure_key` of its reason.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(ledger["reason"] != "").tolist():
        found.setdefault((str(ledger["kind"][row]), failure_key(ledger["reason"][row])), []).append(row)
    return [
        {
            "kind": kind,
            "reason": str(ledger["reason"][mine[0]]),
            "jobs": len(mine),
            "devices": len(np.unique(ledger["device"][mine])),
            "first_device": int(ledger["device"][mine[0]]),
            "first_profile": str(ledger["profile"][mine[0]]),
            "traceback": tracebacks.get(key, ""),
        }
        for (kind, key), mine in found.items()
    ]


HOPELESS_ROUNDS = 3
"""Last rounds of nothing but diverged updates that make a run hopeless."""


def _nothing_learned(ledger: Mapping[str, Array]) -> str | None:
    """Say so if all updates had diverged, or all of the last rounds: of one round that is nobody's verdict."""
    train = ledger["kind"] == "train"
    rounds, outcomes = ledger["round"][train], ledger["outcome"][train]
    learned = int(rounds[outcomes == Outcome.ARRIVED].max(initial=0))
    lost = np.unique(rounds[(outcomes == Outcome.DIVERGED) & (rounds > learned)])
    if len(lost) < (HOPELESS_ROUNDS if learned else 1):
        return None
    since = f"every update since round {learned + 1} diverged" if learned else "every update diverged"
    of = f"of round {learned}" if learned else "that the run began with"
    return f"{since}, so the model is the one {of}. {Outcome.DIVERGED.advice}"


def _nobody_arrived(ledger: Mapping[str, Array]) -> str | None:
    """Say so if no job brought anything: none that trains, where some do."""
    train = ledger["kind"] == "train"
    outcomes = ledger["outcome"][train] if train.any() else ledger["outcome"]
    if not len(outcomes) or (outcomes == Outcome.ARRIVED).any():
        return None
    what = "update" if train.any() else "reply"
    return f"no {what} of any device ever arrived; see in the report how the jobs ended"


def clients_per_second(rows: Sequence[dict[str, Any]]) -> float:
    """Return train jobs per second of wall time, the first round (start-up) left out where there are others."""
    trained = [row for row in rows if row["round"] > 0]
    counted = trained[1:] or trained
    wall_s = sum(row["wall_s"] for row in counted)
    return sum(row["selected"] for row in counted) / wall_s if wall_s > 0 else 0.0
