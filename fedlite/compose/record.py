"""What every kind of run leaves behind: the parts of the summary, the manifest and the directory that are the same."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

import fedlite
from fedlite.compose.finished import Run
from fedlite.devices import carbon
from fedlite.engine.task import digest
from fedlite.report.run_page import write_report
from fedlite.results.directory import FORMAT, RunDirectory, without_nan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.results.rounds import Rounds
    from fedlite.scenario.schema import FleetScenario

Array = NDArray[Any]

LIBRARIES = ("flwr", "torch", "ray", "numpy", "polars", "pydantic", "dp-accounting", "scikit-learn")


@dataclass(frozen=True)
class Record:
    """What happened in a run, whatever its clients computed. `final` is the last global model, `names` its keys."""

    scenario: FleetScenario
    fleet: Fleet
    ledger: Ledger
    rounds: Rounds
    names: Sequence[str]
    final: Sequence[Array]
    end_s: float
    wall_s: float
    engine: str
    backend: str

    @property
    def digest(self) -> str:
        """SHA-256 over the final arrays and the ledger: the same for every backend and number of actors."""
        pairs = zip(self.names, self.final, strict=True)
        arrays = {f"{position} {name}": values for position, (name, values) in enumerate(pairs)}
        return hashlib.sha256(f"{digest({}, arrays)} {self.ledger.digest()}".encode()).hexdigest()

    def summary(self, run_dir: str, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the summary of a run; `told` holds what depends on the kind of run."""
        ledger = self.ledger.columns()
        moved = ledger["up_bytes"] + ledger["down_bytes"]
        energy_j = float(ledger["energy_j"].sum())
        values = {
            "run_dir": run_dir,
            "name": name,
            "format": FORMAT,
            "digest": self.digest,
            "seed": self.scenario.seed,
            "rounds": len(self.rounds.rows) - 1,
            "virtual_time_s": self.end_s - self.scenario.fleet.start_s,
            "wall_time_s": self.wall_s,
            "energy_j": energy_j,
            "energy_low_j": float(ledger["energy_low_j"].sum()),
            "energy_high_j": float(ledger["energy_high_j"].sum()),
            "carbon_g": float(carbon.grams(energy_j, self.scenario.fleet.carbon_grid)),
            "up_bytes": int(ledger["up_bytes"].sum()),
            "down_bytes": int(ledger["down_bytes"].sum()),
            "metered_bytes": int(moved[ledger["metered"]].sum()),
            "outcomes": dict(sorted(Counter(ledger["outcome"].tolist()).items())),
            "clients_per_second": clients_per_second(self.rounds.rows),
            "devices": len(self.fleet),
            "backend": self.backend,
            "engine": self.engine,
            **told,
        }
        cleaned: dict[str, Any] = without_nan(values)
        return cleaned

    def manifest(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return what made the run; `told` holds what depends on the kind of run."""
        return {
            "format": FORMAT,
            "fedlite": fedlite.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: metadata.version(name) for name in LIBRARIES},
            "seed": self.scenario.seed,
            "engine": self.engine,
            **told,
        }

    def write(
        self,
        directory: RunDirectory,
        *,
        fleet: Sequence[Mapping[str, Any]],
        evaluation: Mapping[str, Array],
        manifest: Mapping[str, Any],
        summary: Mapping[str, Any],
    ) -> Run:
        """Write everything, the summary last: a directory with a summary is complete."""
        directory.write_table("clients.parquet", self.ledger.columns())
        directory.write_table("rounds.parquet", self.rounds.rows)
        directory.write_table("fleet.parquet", fleet)
        directory.write_table("evaluation.parquet", evaluation)
        directory.write_model(self.names, self.final)
        directory.write_json("manifest.json", manifest)
        directory.write_json("summary.json", summary)
        directory.journal.unlink(missing_ok=True)
        write_report(directory.path)
        return Run(directory.path)


def clients_per_second(rows: Sequence[dict[str, Any]]) -> float:
    """Return train jobs per second of wall time, the first round (start-up) left out where there are others."""
    trained = [row for row in rows if row["round"] > 0]
    counted = trained[1:] or trained
    wall_s = sum(row["wall_s"] for row in counted)
    return sum(row["selected"] for row in counted) / wall_s if wall_s > 0 else 0.0
