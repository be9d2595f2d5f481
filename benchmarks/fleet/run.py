"""What a fleet costs the machine that simulates it, from ten thousand devices to a million.

    OMP_NUM_THREADS=1 python benchmarks/fleet/run.py

Writes results.json and results.md beside this file. Every size runs in a process of its own, so that its peak memory is
its own. Seconds are processor seconds of one core: other load on the machine stretches the wall clock and not them.
The fleet is that of scenarios/million-devices.yaml: phones that charge by night in four time zones, and may be asked
while charging, on Wi-Fi and idle. The last line runs the scenario itself, imports, training and report included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SCENARIO = REPOSITORY / "scenarios" / "million-devices.yaml"
SIZES = (10_000, 100_000, 1_000_000)
COHORT = 130
DAY_S, HOUR_S = 86_400.0, 3_600.0
ROWS = {
    "import_s": "import, s",
    "build_s": "deal profiles, links and charges, s",
    "state_bytes_per_device": "state, bytes per device",
    "day_eligible_s": "a day: who is eligible, every hour, s",
    "day_charge_s": "a day: everybody's battery, 24 steps, s",
    "node_ids_s": "get_node_ids, s",
    "eligible": "nodes that it returns",
    "round_s": f"a round of {COHORT} clients that compute nothing, s",
    "next_change_s": "who is next, when nobody is eligible, s",
    "before_mb": "resident before the fleet, MB",
    "peak_mb": "peak resident, MB",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, help="measure one size in this process and print it")
    given = parser.parse_args()
    if given.devices:
        print(json.dumps(measure(given.devices)))
        return
    sizes = {str(size): child([sys.executable, __file__, "--devices", str(size)])[0] for size in SIZES}
    found = {"machine": machine(), "command": "python benchmarks/fleet/run.py", "fleet": sizes, "run": whole_run()}
    (HERE / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (HERE / "results.md").write_text(table(found))
    print(table(found))


def child(command: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Run a command that prints an object in its last line; return that and what the process took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = {"wall_s": time.perf_counter() - began, "cpu_s": cpu_s, "largest_child_mb": after.ru_maxrss / 1024}
    return json.loads(done.stdout.splitlines()[-1]), took


def measure(devices: int) -> dict[str, float]:
    clock, found = time.process_time, {}
    began = clock()
    import numpy as np

    from fedlite.compose import fleet as compose_fleet
    from fedlite.fleet.ledger import Ledger
    from fedlite.flower.grid import FleetGrid
    from fedlite.scenario.loader import load_scenario
    from fedlite.scenario.profiles import load_profile

    found["import_s"] = clock() - began
    found["before_mb"] = peak_mb()
    scenario = load_scenario(SCENARIO, {"fleet.devices": str(devices)})
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    start_s = scenario.fleet.start_s

    began = clock()
    fleet = compose_fleet.build(scenario, profiles, [False] * len(profiles))
    found["build_s"] = clock() - began
    held = [fleet, fleet.batteries, fleet.population, fleet.population.home, fleet.population.away]
    arrays = {id(a): a.nbytes for part in held for a in vars(part).values() if isinstance(a, np.ndarray)}
    found["state_bytes_per_device"] = sum(arrays.values()) / devices

    grid = FleetGrid(fleet, Idle(), Ledger(), start_s=start_s)
    began = clock()
    nodes = grid.get_node_ids()
    found["node_ids_s"], found["eligible"] = clock() - began, len(nodes)
    began = clock()
    grid.send_and_receive(messages(nodes[:COHORT]))
    found["round_s"] = clock() - began

    began = clock()
    for hour in range(24):
        fleet.eligible(start_s + hour * HOUR_S)
    found["day_eligible_s"] = clock() - began
    began = clock()
    fleet.advance(start_s + DAY_S)
    fleet.charge_at(fleet.ids, start_s + DAY_S)
    found["day_charge_s"] = clock() - began
    began = clock()
    fleet.next_change_s(start_s + DAY_S)
    found["next_change_s"] = clock() - began
    found["peak_mb"] = peak_mb()
    return found


def messages(nodes: list[int]) -> list[object]:
    from flwr.app import ConfigRecord, Message, RecordDict

    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    return [Message(content, node, "train") for node in nodes]


class Idle:
    """Clients that compute nothing: what is left is the fleet's own cost."""

    def open(self, batch, devices):
        return IdleExchange(len(devices))


class IdleExchange:
    final = True

    def __init__(self, n):
        import numpy as np
        from fedlite.fleet.pricing import Work

        self.n, self.ones = n, np.ones(n)
        self.work = Work(*(np.full(n, value) for value in (1e5, 1e5, 60.0, 1e8, 1e6)))

    def start(self, alive):
        pass

    def finish(self):
        self.work = replace(self.work)

    def settle(self, arrived):
        pass

    @property
    def facts(self):
        import numpy as np

        from fedlite.flower.exchange import Facts

        ones = self.ones
        return Facts(np.full(self.n, "full"), ones, ones, ones, ones, ones, ones < 0, ones, ones)

    def replies(self, arrived):
        from flwr.app import RecordDict

        return [RecordDict() if came else None for came in arrived]


def whole_run() -> dict[str, float]:
    """Run the shipped scenario as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "fedlite.cli.main", "run", str(SCENARIO), "--backend", "local", "--json"]
        summary, took = child([*command, "--out", str(out)])
        sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    kept = ("rounds", "virtual_time_s", "energy_j", "outcomes", "clients_per_second")
    return {**took, "accuracy": summary["metrics"]["accuracy"], **{key: summary[key] for key in kept}, "files": sizes}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    load = os.getloadavg()[0]
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version(), "load": round(load, 1)}


def table(found: dict[str, object]) -> str:
    fleet, run, host = found["fleet"], found["run"], found["machine"]
    head = "| | " + " | ".join(f"{int(size):,} devices" for size in fleet) + " |"
    rows = [head, "|---|" + "---:|" * len(fleet)]
    for key, title in ROWS.items():
        rows.append(f"| {title} | " + " | ".join(shown(sizes[key]) for sizes in fleet.values()) + " |")
    setting = (
        f"`{found['command']}` on {host['cores']} cores of {host['processor']}, Python {host['python']}, with a load of"
        f" {host['load']} from elsewhere. Seconds are of one core."
    )
    whole = (
        f"`fedlite run scenarios/million-devices.yaml --backend local`: {run['rounds']} rounds, accuracy"
        f" {run['accuracy']:.3f}, {run['wall_s']:.0f} s of wall clock under that load, {run['cpu_s']:.0f} s of one core"
        f" from start to report, at most {run['largest_child_mb']:.0f} MB resident; ledger"
        f" {run['files']['clients.parquet'] / 1e3:.0f} kB, page {run['files']['report.html'] / 1e6:.1f} MB."
    )
    batteries = (
        "Batteries move only when somebody asks about them: a run whose rules do not look at the charge pays for"
        " its participants alone. The line of everybody's battery is what a day costs when they do."
    )
    return "\n".join(["# What a fleet costs", "", setting, "", *rows, "", whole, "", batteries, ""])


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 50 else f"{value:.3g}"


if __name__ == "__main__":
    main()
