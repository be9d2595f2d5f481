"""fedlite itself: `fedlite.api.run` of a scenario, Ray with one actor per core, everything charged and written.

Unlike the others it also moves a fleet through virtual time, encodes and decodes every transfer, and keeps a ledger;
the devices are always available, so that every round trains exactly the cohort.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from work import BATCH, ROUNDS_AT_LEAST, ROUNDS_AT_MOST, Stopwatch, arguments

from fedlite.api import Settings, run
from fedlite.compose.pools import MOST_ON_A_GPU
from fedlite.scenario.loader import parse_scenario

NETS = {"mlp": "mlp", "cnn": "lenet5"}
GUESS = {"mlp": 8000, "cnn": 300}

SCENARIO = """
name: speed
seed: 1
fleet:
  devices: {fleet}
  mix: consumer-phones
  availability: always
task:
  data: fedlite_federation:{model}_{fleet}
  partition: natural
  clients: {fleet}
  model: {net}
training:
  rounds: {rounds}
  clients_per_round: {cohort}
  local: {{epochs: 1, batch_size: {batch}, lr: {lr}}}
  evaluate_every: {rounds}
wire: {{up: fp32, down: fp32}}
"""


def main(backend="ray"):
    work = arguments()
    watch = Stopwatch(work, f"fedlite ({backend})")
    rounds = max(ROUNDS_AT_LEAST, min(ROUNDS_AT_MOST, 1 + int(work.seconds * GUESS[work.model] / work.cohort)))
    text = SCENARIO.format(
        model=work.model,
        fleet=work.fleet,
        cohort=work.cohort,
        net=NETS[work.model],
        rounds=rounds,
        batch=BATCH,
        lr=work.lr,
    )
    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    cores = len(os.sched_getaffinity(0))
    most = cores if work.accelerator == "none" else min(cores, MOST_ON_A_GPU)
    settings = Settings(backend=backend, actors=most if backend == "ray" else None, accelerator=work.accelerator)
    with tempfile.TemporaryDirectory() as folder:
        done = run(parse_scenario(text), out=Path(folder) / "run", settings=settings)
        table = done.rounds.filter(done.rounds["round"] > 0)
        if not (table["arrived"] == work.cohort).all():
            raise SystemExit(f"rounds trained {table['arrived'].to_list()} clients, expected {work.cohort} in each")
        # The last round evaluates, which no other runner does.
        watch.rounds_s = table["wall_s"].to_list()[:-1]
        accuracy = done.summary["metrics"]["accuracy"]
        modes = done.summary["trainer_modes"]
    watch.report(accuracy, processes=settings.actors or 1, torch=torch.__version__, mode=",".join(modes))


if __name__ == "__main__":
    main()
