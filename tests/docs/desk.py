"""Where snippets are run: a folder like a checkout, with smaller scenarios, made-up data, and runs that are there."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from fedlite.cli import main as command_line
from fedlite.learning.data.cache import prepared_path
from fedlite.learning.data.catalog import lookup
from fedlite.rng import stream
from fedlite.scenario.strict_yaml import read

ROOT = Path(__file__).parents[2]
TINY = """
name: tiny
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1, pi-4b: 1}}
task: {data: digits, model: mlp}
training: {rounds: 1, clients_per_round: 3}
"""
TINY_STUDY = """
name: tiny-study
base: base.yaml
list: [{label: fp32, wire.up: fp32}, {label: int8, wire.up: int8+zstd}]
seeds: [1]
"""
NET = """
from torch import nn


def make(input_shape, num_classes, width=1.0):
    channels = max(1, int(8 * width))
    layers = nn.Conv2d(input_shape[0], channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(channels, num_classes))
"""


def smaller(scenario: Path) -> str:
    """Return a shipped scenario, study or rollout with the same keys and less to do, as YAML."""
    told = read(scenario.read_text(encoding="utf-8"), str(scenario)).value
    if "strategy" in told:
        return _written(told | {"replications": 2, "fleet": told["fleet"] | _fewer(told["fleet"], "devices", 200)})
    if "seeds" in told or "base" in told:
        return _written(told | {"seeds": told.get("seeds", [1])[:1], "list": told.get("list", [])[:2]})
    training = told["training"] | {"rounds": 2} | _fewer(told["training"], "clients_per_round", 10)
    if canaries := told.get("adversary", {}).get("canaries"):
        told["adversary"] |= {"canaries": canaries | _fewer(canaries, "clients", 100)}
    return _written(told | {"training": training, "fleet": told["fleet"] | _fewer(told["fleet"], "devices", 100)})


def _fewer(section: dict, key: str, most: int) -> dict:
    return {key: min(most, section[key])} if key in section else {}


def _written(told: dict) -> str:
    return json.dumps(told, indent=1)  # which is YAML, too


def write_scenarios(folder: Path) -> None:
    """Write every shipped scenario into a folder, in its subfolder, smaller; the quickest one as it is."""
    for path in (ROOT / "scenarios").glob("**/*.yaml"):
        target = folder / path.relative_to(ROOT / "scenarios")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text() if path.stem == "digits-smoke" else smaller(path), encoding="utf-8")


def write_data(folder: Path) -> None:
    """Write made-up arrays where those of the datasets lie that continuous integration does not fetch."""
    rng = stream(1, "made up")
    parts = 140  # seven exercises of ten people with a watch on each side
    watch = {
        "rows": rng.normal(size=(parts * 500, 6)).astype(np.float32),
        "lengths": np.full(parts, 500),
        "exercise": np.arange(parts) % 7,
        "subject": 1 + np.arange(parts) // 14,
        "side": np.arange(parts) // 7 % 2,
    }
    splits = {"train": 600, "test": 100}
    pictures = {f"x_{name}": rng.integers(0, 256, (rows, 28, 28), np.uint8) for name, rows in splits.items()}
    labels = {f"y_{name}": (np.arange(rows) % 10).astype(np.uint8) for name, rows in splits.items()}
    folder.mkdir()
    np.savez(prepared_path(lookup("watch"), folder), **watch)
    np.savez(prepared_path(lookup("fashion-mnist"), folder), **pictures, **labels)


def fedlite(*arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    before, handler, places = sys.argv, signal.getsignal(signal.SIGTERM), list(sys.path)
    sys.argv = ["fedlite", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command_line.main()
    except SystemExit as left:
        return int(left.code or 0), out.getvalue(), err.getvalue()
    finally:
        sys.argv = before
        sys.path[:] = places
        signal.signal(signal.SIGTERM, handler)
    raise AssertionError("the command line always ends with an exit code")


def _provide_run(folder: Path, word: str, run: Path) -> None:
    """Put a finished run there; one that is called after a study is that study's."""
    study = folder / f"scenarios/studies/{Path(word).name}.yaml"
    if study.exists():
        assert fedlite("sweep", str(study), "--backend", "local", "--out", word)[0] == 0
    else:
        shutil.copytree(run, folder / word)


def provide(folder: Path, words: list[str], run: Path) -> None:
    """Put there what a command names and a reader has: a finished run, a scenario, a plan, an app."""
    for before, word in zip(["", *words], words, strict=False):
        if (folder / word).exists() or before in {"--out", "init"}:
            continue
        if re.fullmatch(r"runs/[\w-]+", word):
            _provide_run(folder, word, run)
        elif word in {"scenario.yaml", "mine.yaml"}:
            (folder / word).write_text(TINY)
        elif word == "study.yaml":
            (folder / "base.yaml").write_text(TINY)
            (folder / "study.yaml").write_text(TINY_STUDY)
        elif word in {"plan.yaml", "a.yaml", "b.yaml"}:
            plan = read((folder / "scenarios/rollout/iot-groups.yaml").read_text(), word).value
            (folder / word).write_text(_written(plan | {"fleet": plan["fleet"] | {"devices": 40}}))
        elif word == "my-app":
            assert fedlite("init", "--app", word)[0] == 0
        elif word == "my_package.nets:make":
            (folder / "my_package").mkdir()
            (folder / "my_package/nets.py").write_text(NET)
        elif word == "my_measurements.csv":
            shutil.copy(ROOT / "benchmarks/device_model/data/device_measurements_2.csv", folder / word)


NUMBER = re.compile(r"[-−+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
CLOSE = 0.05
"""How far a number may be from what a page shows: kernels differ between processors, and training makes it more."""


def agrees(printed: str, shown: str) -> bool:
    """Return whether a page shows what was printed: word for word, numbers nearly, `...` standing for anything."""
    words = [re.escape(word) for word in NUMBER.sub("\0", " ".join(shown.split())).split(" ")]
    pattern = " ".join(words).replace(re.escape("\0"), f"({NUMBER.pattern})").replace(r"\.\.\.", ".*")
    pattern = pattern.replace(".* ", "(?:.* )?").replace(" .*", "(?: .*)?")
    found = re.fullmatch(pattern, " ".join(printed.split()))
    return found is not None and all(map(_near, found.groups(), NUMBER.findall(shown)))


def _near(one: str, other: str) -> bool:
    if one == other or one.count(".") > 1 or other.count(".") > 1:  # a version is no number
        return one == other
    a, b = (float(text.replace("−", "-").replace(",", "")) for text in (one, other))
    return "." in other and abs(a - b) <= CLOSE * abs(b) + (1.0 if "−" in other or "+" in other else 0.0)
