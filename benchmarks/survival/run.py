"""Kill runs on Ray at random and continue them; change what a run rests on and see it refused.

    python benchmarks/survival/run.py            # about ten minutes on two cores; writes results.md beside this file

Everything works on a copy of the package, so that its source can be edited. `--seed` chooses other victims and moments.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 10
VICTIMS = ("driver", "ray::_Actor", "raylet")
PATIENCE_S = 300
HELPERS_S = 10
LOST = 6
"""Exit code of a run whose raylet died."""
SCENARIO = """
name: survival
seed: 7
fleet: {devices: 20, mix: {"phone.yaml": 1.0}}
task: {data: "own_rows:rows", model: "own_net:net", clients: 20}
training: {rounds: 60, clients_per_round: 16, local: {epochs: 6, batch_size: 4, lr: 0.05}}
wire: {up: int8+zstd}
"""
NET = """
from torch import nn
from own_helper import HIDDEN

def net(input_shape, num_classes, width=1.0, seed=0):
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], HIDDEN), nn.GELU(), nn.Linear(HIDDEN, num_classes))
"""
ROWS = """
from pathlib import Path
import numpy as np
from fedlite.learning.data.dataset import Dataset

def rows():
    x = np.load(Path(__file__).with_name("rows.npz"))["x"]
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return Dataset("own", x[200:], y[200:], x[:200], y[:200], None, None, 2, (12,), "none", "drawn")
"""


@dataclass(frozen=True)
class Place:
    """A folder with a copy of fedlite, own code and data, and the environment that finds them."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Place:
        """Fill an empty folder."""
        shutil.copytree(ROOT / "fedlite", folder / "code" / "fedlite", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "device_profiles", folder / "code" / "device_profiles")
        for name, text in (("own_net.py", NET), ("own_rows.py", ROWS), ("own_helper.py", "HIDDEN = 24\n")):
            (folder / name).write_text(text, encoding="utf-8")
        profile = (ROOT / "device_profiles" / "pixel-8.yaml").read_text(encoding="utf-8")
        (folder / "phone.yaml").write_text(profile.replace("name: pixel-8", "name: phone"), encoding="utf-8")
        (folder / "own.yaml").write_text(SCENARIO, encoding="utf-8")
        place = cls(folder)
        place.draw(1)
        return place

    def draw(self, seed: int) -> None:
        """Write the data."""
        rows = np.random.default_rng(seed).normal(size=(1400, 12)).astype(np.float32)
        np.savez(self.folder / "rows.npz", x=rows)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command line."""
        paths = [str(path) for path in (self.folder / "shim", self.folder / "code", self.folder)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "fedlite.cli.main", *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, *words: str) -> tuple[int, str, str]:
        """Run the command line to its end."""
        process = self.start(*words)
        out, told = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, told


def digest(out: str) -> str:
    """Return the digest in what `--json` printed."""
    found: str = json.loads(out.splitlines()[-1])["digest"]
    return found


def below(root: int) -> dict[int, str]:
    """Return the processes that a process and its children have started, by name."""
    known = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parent = int(text.rpartition(")")[2].split()[1])
        known[int(stat.parent.name)] = (parent, text[text.index("(") + 1 : text.rindex(")")])
    found = {root}
    while more := {pid for pid, (parent, _) in known.items() if parent in found} - found:
        found |= more
    return {pid: known[pid][1] for pid in found - {root}}


def journalled(out: Path) -> int:
    """Return the length of a run's journal."""
    try:
        return (out / "journal.bin").stat().st_size
    except OSError:
        return 0


def kill(driver: subprocess.Popen[str], victim: str) -> bool:
    """Kill a driver, or one of its processes; tell whether there was such a one."""
    if victim == "driver":
        driver.kill()
        return True
    chosen = sorted(pid for pid, name in below(driver.pid).items() if name.startswith(victim))
    if chosen:
        os.kill(chosen[0], signal.SIGKILL)
    return bool(chosen)


def trial(place: Place, number: int, drawn: random.Random, whole_bytes: int) -> tuple[list[str], str]:
    """Kill each victim once in one run, at moments of its progress; return what happened, and the digest."""
    out = place.folder / f"trial-{number}"
    victims = drawn.sample(VICTIMS, len(VICTIMS))
    moments = sorted(drawn.uniform(0.0, 0.9) for _ in victims)
    words = ["run", "own.yaml", "--out", str(out), "--actors", "2", "--json"]
    told, driver = [], place.start(*words)
    helpers: set[int] = set()
    for victim, moment in zip(victims, moments, strict=True):
        while journalled(out) < moment * whole_bytes or not below(driver.pid):
            if driver.poll() is not None:
                break
            time.sleep(0.02)
        helpers |= set(below(driver.pid))
        there = kill(driver, victim)
        began_s = time.monotonic()
        if there and victim == "ray::_Actor":
            told.append(f"actor at {moment:.0%}: went on")
            continue
        _, error = driver.communicate(timeout=PATIENCE_S)
        code, hint = driver.returncode, f"Continue with --resume {out}" in error
        clean = victim == "driver" or (code == LOST and hint and "Traceback" not in error)
        said = "" if clean else f", **not clean**: {' '.join(error.split())[-80:]}"
        told.append(f"{victim} at {moment:.0%}: exit {code} after {time.monotonic() - began_s:.0f} s{said}")
        driver = place.start("run", "--resume", str(out), "--actors", "2", "--json")
    while True:
        text, error = driver.communicate(timeout=PATIENCE_S)
        if driver.returncode == 0:
            break
        told.append(f"then exit {driver.returncode}: {error.strip().splitlines()[0][:80] if error.strip() else ''}")
        driver = place.start("run", "--resume", str(out), "--actors", "2", "--json")
    time.sleep(HELPERS_S)
    left = [pid for pid in helpers if Path(f"/proc/{pid}").exists()]
    told.append(f"helpers left: {len(left)}")
    return told, digest(text)


def kills(place: Place, seed: int) -> tuple[list[str], bool]:
    """Return the table of all trials, and whether every digest is the reference's."""
    code, out, told = place.result("run", "own.yaml", "--out", "reference", "--backend", "local", "--json")
    if code != 0:
        raise SystemExit(told)
    reference = digest(out)
    whole_bytes = _whole_journal(place)
    drawn = random.Random(seed)
    rows, good = [f"Reference digest `{reference[:16]}`, a journal of {whole_bytes:,} bytes.", ""], True
    rows += ["| trial | what was killed, at which share of the journal | digest |", "|---|---|---|"]
    for number in range(TRIALS):
        happened, found = trial(place, number, drawn, whole_bytes)
        same = found == reference and happened[-1] == "helpers left: 0" and "not clean" not in str(happened)
        good &= same
        rows.append(f"| {number + 1} | {'; '.join(happened)} | {'the same' if found == reference else '**other**'} |")
        print(rows[-1], flush=True)
    return rows, good


def _whole_journal(place: Place) -> int:
    """Return how long the journal becomes."""
    driver = place.start("run", "own.yaml", "--out", "measured", "--backend", "local", "--json")
    most = 0
    while driver.poll() is None:
        most = max(most, journalled(place.folder / "measured"))
        time.sleep(0.02)
    return most


def _half_done(place: Place, out: str, *words: str) -> None:
    """Leave an interrupted run."""
    driver = place.start(*words, "--out", out, "--backend", "local", "--json")
    while driver.poll() is None and not journalled(place.folder / out):
        time.sleep(0.02)
    driver.send_signal(signal.SIGTERM)
    driver.communicate()


def _shim(folder: Path, name: str) -> None:
    """Have another version of a library told than the one that is there."""
    info = folder / "shim" / f"{name}-99.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.9\n", encoding="utf-8")


def _append(path: Path, text: str = "\n# edited\n") -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise SystemExit(f"{path}: no {old!r} to change")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


CHANGES = {
    "fedlite's own source": (lambda f: _append(f / "code/fedlite/learning/training/sequential.py"), "code of fedlite"),
    "another version of torch": (lambda f: _shim(f, "torch"), "torch 99.9 (was "),
    "another version of flwr": (lambda f: _shim(f, "flwr"), "flwr 99.9 (was "),
    "another version of zstandard": (lambda f: _shim(f, "zstandard"), "zstandard 99.9 (was "),
    "own module": (lambda f: _append(f / "own_net.py"), "own_net.py was edited"),
    "module that it imports": (lambda f: _append(f / "own_helper.py"), "own_helper.py was edited"),
    "data": (lambda f: Place(f).draw(2), "the data or model was edited"),
    "scenario": (lambda f: _replace(f / "cut/scenario.yaml", "lr: 0.05", "lr: 0.06"), "the scenario was edited"),
    "file of a Flower app": (lambda f: _append(f / "app/app_code/task.py"), "task.py was edited"),
    "device profile": (lambda f: _replace(f / "phone.yaml", "value: ", "value: 1"), "a device profile was edited"),
}
"""What is changed, how, and what the refusal has to say."""


def changes(place: Place) -> tuple[list[str], bool]:
    """Return the table of the changes, and whether each was refused by name."""
    _half_done(place, "cut", "run", "own.yaml")
    rows, good = ["| change | exit | what was said |", "|---|---|---|"], True
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, (change, expected)) in enumerate(CHANGES.items()):
            folder = Path(scratch) / str(number)
            shutil.copytree(place.folder, folder, ignore=shutil.ignore_patterns("trial-*", "__pycache__"))
            here = Place(folder)
            if "app" in name:
                here.result("init", "--app", "app")
                package = next(path.parent for path in (folder / "app").rglob("client_app.py"))
                _half_done(here, "cut-app", "app", "app", "--fleet", "own.yaml", "--run-config", "num-server-rounds=40")
                _append(package / "task.py")
                code, _, told = here.result("app", "--resume", "cut-app", "--backend", "local")
            else:
                # The run knows its profile by the path that it had.
                change(place.folder if "profile" in name else folder)
                code, _, told = here.result("run", "--resume", "cut", "--backend", "local")
            line = told.strip().splitlines()[-1] if told.strip() else ""
            refused = code == 2 and expected in line and "Traceback" not in told
            good &= refused
            rows.append(f"| {name} | {code} | {line[:200]}{'' if refused else ' **not refused**'} |")
            print(rows[-1], flush=True)
    return rows, good


def main() -> None:
    """Do both and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("kills", "changes"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.md"))
    chosen = parser.parse_args()
    rows, good = ["# Runs that survive", ""], True
    with tempfile.TemporaryDirectory() as scratch:
        place = Place.make(Path(scratch))
        if chosen.only != "changes":
            found, fine = kills(place, chosen.seed)
            rows += [f"## {TRIALS * len(VICTIMS)} kills, seed {chosen.seed}", "", *found, ""]
            good &= fine
        if chosen.only != "kills":
            found, fine = changes(place)
            rows += [f"## {len(CHANGES)} changes", "", *[row.replace(scratch, "...") for row in found], ""]
            good &= fine
    if chosen.only is None:
        chosen.out.write_text("\n".join([*rows, f"{'All as wanted.' if good else 'NOT all as wanted.'}"]) + "\n")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
