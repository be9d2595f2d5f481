"""Time one unmodified Flower app through FleetGrid and through Flower's own simulation; write results.json.

    python benchmarks/generic_app/run.py [--turns 2] [--fleet 10000] [--cohort 100]

Both use two Ray actors of one core. Each measurement is a process of its own; the two take turns. The figure is the
median round without the first, over the turns the best (the machine is shared; noise only ever adds).
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent


def flower():
    from client import FLEET, MOMENTS, app, server
    from flwr.simulation import run_simulation

    backend = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}}
    run_simulation(server, app, num_supernodes=FLEET, backend_config=backend)
    return MOMENTS


def fedlite():
    import tempfile
    from types import SimpleNamespace

    from client import FLEET, MOMENTS, server

    from fedlite.compose import fleet as compose_fleet
    from fedlite.compose.pools import open_pool
    from fedlite.fleet.ledger import Ledger
    from fedlite.flower import compat
    from fedlite.flower.app_prices import AppPrices
    from fedlite.flower.app_runtime import AppRuntime, worker_spec
    from fedlite.flower.grid import FleetGrid
    from fedlite.scenario.loader import load_fleet
    from fedlite.scenario.profiles import load_profile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.yaml"
        path.write_text(f"name: bench\nfleet: {{devices: {FLEET}, mix: consumer-phones}}\n", encoding="utf-8")
        scenario = load_fleet(path)
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    devices = compose_fleet.build(scenario, profiles, [False] * len(profiles))
    two_actors = SimpleNamespace(backend="ray", actors=2, ray_address=None, accelerator="none")
    pool = open_pool(worker_spec("client:app", HERE, {}), two_actors, None)
    prices = AppPrices(profiles, _declared())
    runtime = AppRuntime(pool, profiles, devices.population.profile_of, prices, seed=1)
    grid = FleetGrid(devices, runtime, Ledger())
    with compat.quiet_logs(), compat.cheap_collections(), compat.virtual_sleep(grid.wait):
        server(grid, compat.new_context(1, 1, {}, {}))
    pool.close()
    return MOMENTS


def _declared():
    from fedlite.flower.app_prices import Declared

    # Clients that only echo have nothing to count.
    return None if os.environ["BENCH_WORK"] == "train" else Declared.working(1e6)


RUNNERS = {"fedlite": fedlite, "flower": flower}


def measure(name, fleet, cohort, work):
    environment = {
        **os.environ,
        "BENCH_FLEET": str(fleet),
        "BENCH_COHORT": str(cohort),
        "BENCH_WORK": work,
        "OMP_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)]),
    }
    command = [sys.executable, __file__, "--runner", name]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=600).stdout
    moments = json.loads(told.splitlines()[-1])
    rounds = [after - before for before, after in itertools.pairwise(moments)]
    return statistics.median(rounds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", choices=RUNNERS)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--fleet", type=int, default=10_000)
    parser.add_argument("--cohort", type=int, default=100)
    options = parser.parse_args()
    if options.runner:
        print(json.dumps(RUNNERS[options.runner]()))
        return
    rows = []
    for work in ("echo", "train"):
        best = dict.fromkeys(RUNNERS, float("inf"))
        for _ in range(options.turns):
            for name in RUNNERS:
                best[name] = min(best[name], measure(name, options.fleet, options.cohort, work))
        row = {"work": work, "fleet": options.fleet, "cohort": options.cohort}
        row |= {f"{name}_ms_per_client": round(1e3 * best[name] / options.cohort, 3) for name in RUNNERS}
        row["ratio"] = round(best["flower"] / best["fedlite"], 2)
        rows.append(row)
        print(row, flush=True)
    machine = {"cores": os.cpu_count(), "load_average_after": os.getloadavg()[0], "python": platform.python_version()}
    libraries = {name: version(name) for name in ("flwr", "ray", "torch")}
    told = {
        "command": " ".join(["python", "benchmarks/generic_app/run.py", *sys.argv[1:]]),
        "rows": rows,
        "machine": machine,
        "libraries": libraries,
    }
    (HERE / "results.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
