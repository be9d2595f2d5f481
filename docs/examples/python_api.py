"""A scenario from Python: run it, then look at its jobs as a data frame."""

import tempfile
from pathlib import Path

import polars as pl

import fedlite
from fedlite.scenario.share import share_dir

scenario = fedlite.load_scenario(share_dir("scenarios") / "digits-smoke.yaml", {"training.rounds": 2})
with tempfile.TemporaryDirectory() as folder:
    done = fedlite.run(scenario, out=Path(folder) / "run", settings=fedlite.Settings(backend="local"))
    jobs = done.clients
    print(f"{done.summary['rounds']} rounds, {len(jobs)} jobs, {jobs['device'].n_unique()} devices")
    spent = jobs.select(pl.col("energy_j").sum(), (pl.col("compute_j") + pl.col("radio_j")).sum().alias("parts_j"))
    print("the parts of the energy add up:", abs(spent["energy_j"][0] - spent["parts_j"][0]) < 1e-9)
    print("files:", ", ".join(sorted(path.name for path in done.path.iterdir())))
    again = fedlite.load_run(done.path)
    print("read again, the same model and ledger:", again.summary["digest"] == done.summary["digest"])
