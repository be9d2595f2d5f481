"""How long rehearsals of a large fleet take, and how much memory: one world, end to end, on Ray.

    OMP_NUM_THREADS=1 python benchmarks/rollout/rehearsals.py   # 100,000 devices, 200 rehearsals of 30 days
    OMP_NUM_THREADS=1 python benchmarks/rollout/rehearsals.py --devices 20000 --replications 20

Writes rehearsals.md beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import threading
import time
from pathlib import Path

from fedlite.compose.rollout_run import rehearse
from fedlite.runner import Settings
from fedlite.scenario.rollout.loading import parse_rollout

PLAN = """
name: large
seed: 7
replications: {replications}
horizon: 30 d
fleet: {{devices: {devices}, mix: consumer-phones, availability: diurnal, protocol: production}}
audience: {{opt_out: 2 %}}
model:
  variants: [{{name: int8, bytes: 4 MB, memory: 30 MiB, network: mobilenet_v2, precision: int8, accuracy: 71 %}}]
  old: {{bytes: 4 MB, accuracy: 70 %}}
download: {{charging: true}}
strategy: {{preset: apple-phased}}
gates:
  - {{name: installs, metric: install_failure, method: sequential, baseline: 1 %, every: 1 h}}
  - {{name: accuracy, metric: accuracy, method: msprt, control: 5 %, every: 1 d}}
"""


def descendants(root):
    """Return the process and all that it started, from /proc."""
    parent = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = {root}
    while more := {pid for pid, above in parent.items() if above in found} - found:
        found |= more
    return found


def pss_bytes(pid):
    """Return the memory of a process, in proportion where it is shared."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])


def watch_memory(stop, found):
    """Note the most memory that this process and its descendants had."""
    while not stop.wait(1.0):
        found[0] = max(found[0], sum(pss_bytes(pid) for pid in descendants(os.getpid())))


def main():
    told = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told.add_argument("--devices", type=int, default=100_000)
    told.add_argument("--replications", type=int, default=200)
    told.add_argument("--actors", type=int, default=2)
    asked = told.parse_args()
    plan = parse_rollout(PLAN.format(devices=asked.devices, replications=asked.replications))
    stop, found = threading.Event(), [0]
    watcher = threading.Thread(target=watch_memory, args=(stop, found))
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        done = rehearse(plan, out=Path(folder) / "out", settings=Settings("ray", actors=asked.actors))
        took_s = time.perf_counter() - begun
    stop.set()
    watcher.join()
    (world,) = done.summary["worlds"]
    asked_words = f"--devices {asked.devices} --replications {asked.replications} --actors {asked.actors}"
    lines = [
        "# Rehearsals of a large fleet",
        "",
        f"Made by `python benchmarks/rollout/rehearsals.py {asked_words}`.",
        "",
        "| | |",
        "|---|---|",
        f"| one world, end to end | {took_s / 60:.1f} min (aim 5) |",
        f"| a rehearsal | {asked.actors * took_s / asked.replications:.2f} s of an actor |",
        f"| most memory, Ray included | {found[0] / 1e9:.2f} GB (aim 4) |",
        f"| false aborts | {world['p_false_abort']:.3f} (two gates at 0.05) |",
    ]
    text = "\n".join(lines) + "\n"
    (Path(__file__).parent / "rehearsals.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
