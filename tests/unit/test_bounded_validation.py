"""What cannot be is refused before it is opened, expanded or computed: little time, little memory, one line."""

import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fedlite.cli import stopping
from fedlite.cli.main import main
from fedlite.scenario import loader

ROOT = Path(__file__).resolve().parents[2]
BASE = (ROOT / "scenarios" / "digits-smoke.yaml").read_text(encoding="utf-8")
KEYS = [
    *("training.local.lr", "training.local.weight_decay", "training.local.proximal_mu", "training.rounds"),
    *("training.local.epochs", "training.local.batch_size", "training.over_select", "training.evaluate_every"),
    *("training.clients_per_round", "fleet.devices", "training.first", "seed"),
]
GRID = "".join(f"  {key}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n" for key in KEYS)
LIMIT_BYTES = 2**30
"""Of address space: libraries take most of it."""
SECONDS = 10
"""Of the processor; what is unbounded takes them all."""
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n"
BOMB += "".join(f"{one}: &{one} [{','.join([f'*{other}'] * 9)}]\n" for other, one in itertools.pairwise("abcdefghij"))
BAD = {
    "variants": ("name: s\nbase: base.yaml\ngrid:\n" + GRID, "got 1000000000000 runs, expected at most 1000"),
    "seeds": (f"name: s\nbase: base.yaml\nseeds: [{', '.join(map(str, range(5_000)))}]\n", "seeds: got 5000 runs"),
    "zero": ("name: s\nbase: /dev/zero\n", "/dev/zero: (file): got a device, expected a plain file"),
    "pipe": ("name: s\nbase: pipe\n", "pipe: (file): got a pipe, expected a plain file"),
    "folder": ("name: s\nbase: .\n", "got a folder, expected a plain file"),
    "nothing": ('name: s\nbase: "\\0"\n', "got no name of a file (embedded null byte)"),
    "big": ("name: s\nbase: big.yaml\n", "got 5000000 bytes, expected at most 1000000"),
    "profiles": (
        BASE.replace("mix: consumer-phones", f"mix: {{{', '.join(f'p{n}: 1' for n in range(4000))}}}"),
        "fleet.mix: got 4000 profiles, expected at most 200",
    ),
    "rules": (
        BASE + "clients:\n" + "  - {for: {tier: mcuu}, plan: full}\n" * 1000,
        "clients: got 1000 rules, expected at most 300",
    ),
    "nodes": (BASE + "".join(f"k{n}: 1\n" for n in range(20_000)), "got over 10000 keys and values"),
    "bytes": (BASE + "# x\n" * 240_000, "characters, expected at most 250000"),
    "aliases": (BOMB, "got aliases that expand to over 10000 values"),
    "sigma": (
        BASE.replace("{kind: dirichlet, alpha: 0.5}", "{kind: quantity, sigma: 1e6}"),
        "task.partition.sigma: got 1000000.0, expected 10.0 or less",
    ),
    "dots": (
        f"name: s\nbase: base.yaml\ngrid:\n  ? {'a.' * 40_000}b\n  : [1]\n",
        "got a key of 40001 parts, expected at most 20",
    ),
    "weights": (
        BASE.replace("mix: consumer-phones", "mix: {pi-4b: 1e-320, pixel-6: 1e308, pixel-8: 1}"),
        "fleet.mix.pixel-6: got 1e+308, expected a share",
    ),
    "escapes": (BASE + '"\\e[31mred": 1\n', r"\x1b[31mred: got an unknown key"),
    "epochs": (
        BASE.replace("epochs: 2", "epochs: 1000000000"),
        "training.local.epochs: got 1000000000, expected 10000",
    ),
    "batch": (
        BASE.replace("batch_size: 16", "batch_size: 1000000000000"),
        "training.local.batch_size: got 1000000000000",
    ),
    "mix": (BASE.replace("mix: consumer-phones", 'mix: {"/dev/zero": 1.0}'), "fleet.mix"),
}


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@pytest.mark.parametrize("name", BAD)
def test_validate_refuses_what_is_too_much_without_doing_it(name, tmp_path):
    text, told = BAD[name]
    (tmp_path / "base.yaml").write_text(BASE, encoding="utf-8")
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with (tmp_path / "big.yaml").open("wb") as big:
        big.truncate(5_000_000)
    os.mkfifo(tmp_path / "pipe")
    done = subprocess.run(
        [sys.executable, "-m", "fedlite.cli.main", "validate", "x.yaml"],
        cwd=tmp_path,
        preexec_fn=limited,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert told in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_check_that_is_stopped_says_nothing_of_going_on(monkeypatch, capsys, tmp_path):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(loader, "open_document", stop)
    monkeypatch.setattr(stopping, "listen", lambda: None)
    monkeypatch.setattr(sys, "argv", ["fedlite", "validate", str(tmp_path / "x.yaml")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == stopping.INTERRUPTED
    assert capsys.readouterr().err == "Stopped.\n"
