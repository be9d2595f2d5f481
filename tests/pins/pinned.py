"""Runs a pinned scenario on the frozen profiles and coefficients beside this file, and reads and writes its pins.

`python tests/pins/pinned.py NAME ...` writes pins anew. A pin changes only together with a line in `CHANGES.md` that
says which one and why.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).parent
NAMES = ("summed", "separate", "guarded", "buffered")
EXACT = (
    "round", "kind", "device", "profile", "plan", "access", "outcome", "down_bytes", "down_raw_bytes", "up_raw_bytes",
    "metered", "peak_bytes", "examples", "steps",
)  # fmt: skip
"""Columns of the ledger that are pinned as they are."""
PRICED = (
    "start_s", "down_s", "train_s", "up_s", "end_s", "compute_j", "radio_j", "energy_j", "energy_low_j",
    "energy_high_j", "battery_j", "mains_j", "battery_before_j", "battery_after_j", "up_bytes",
)  # fmt: skip
"""Pinned to the last bits of a double, or within `BY_CONTENT` where an upload's length depends on its values."""
LEARNED = ("loss",)
LAST_BITS = 1e-9
BY_CONTENT = 0.05


def frozen_modules():
    """Modules that keep what they once computed from the coefficients."""
    return [module for name, module in sys.modules.items() if name.startswith("fedlite.devices") and module is not None]


def forget():
    """Empty every cache of the device model."""
    for module in frozen_modules():
        for value in vars(module).values():
            if callable(getattr(value, "cache_clear", None)):
                value.cache_clear()


@contextmanager
def frozen_coefficients():
    """Let the device model read the coefficients frozen here instead of those that ship."""
    import fedlite.devices.fitted as owner

    real = owner.resources
    owner.resources = SimpleNamespace(files=lambda _: HERE)
    forget()
    try:
        yield
    finally:
        owner.resources = real
        forget()


def run(name, out):
    """Run a pinned scenario in this process and return the finished run."""
    from fedlite import runner
    from fedlite.scenario.loader import load_scenario

    with frozen_coefficients():
        return runner.run(load_scenario(HERE / f"{name}.yaml"), out=out, settings=runner.Settings("local"))


def pins_of(finished):
    """Return what is pinned of a run, as plain values."""
    from safetensors.numpy import load_file

    clients, rounds = finished.clients, finished.rounds
    weights = load_file(finished.path / "model.safetensors")
    return {
        "rounds": {c: rounds[c].to_list() for c in ("round", "accuracy", "loss", "train_loss", "arrived")},
        "jobs": {c: clients[c].to_list() for c in (*EXACT, *PRICED, *LEARNED)},
        "epsilon": (finished.summary["epsilon"] or {}).get("epsilon"),
        "weights": {key: [round(float(v), 6) for v in np.ravel(weights[key])] for key in sorted(weights)},
    }


def read(name):
    """Return the pins of a scenario."""
    return json.loads((HERE / "pinned" / f"{name}.json").read_text(encoding="utf-8"))


def write(name):
    """Run a scenario and write its pins, one line per column."""
    with tempfile.TemporaryDirectory() as folder:
        pins = pins_of(run(name, Path(folder) / "run"))
    lines = [f'"epsilon": {json.dumps(pins["epsilon"])}']
    for part in ("rounds", "jobs", "weights"):
        inner = ",\n".join(f'  "{key}": {json.dumps(values)}' for key, values in pins[part].items())
        lines.append(f'"{part}": {{\n{inner}\n}}')
    (HERE / "pinned" / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:]:
        write(chosen)
