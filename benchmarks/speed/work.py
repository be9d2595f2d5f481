"""The one piece of work that every runner does, in numpy only, so that every environment can import it.

A federation of `fleet` clients with 50 samples each, dealt from scikit-learn's digits (again beyond 1,797 samples);
per round `cohort` clients train one epoch of plain SGD at batch 10 and the server takes the weighted mean.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.datasets import load_digits

SAMPLES, BATCH, LR, CLASSES = 50, 10, {"mlp": 0.1, "cnn": 0.2}, 10
ROUNDS_AT_LEAST, ROUNDS_AT_MOST = 4, 200


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    model: str
    fleet: int
    cohort: int
    seconds: float
    accelerator: str = "none"

    @property
    def device(self):
        """What torch calls the device."""
        return "cpu" if self.accelerator == "none" else self.accelerator

    @property
    def lr(self):
        return LR[self.model]


def arguments():
    """Read the work from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--fleet", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0, help="measure for about so long")
    parser.add_argument("--accelerator", choices=["none", "cuda", "mps"], default="none")
    options = parser.parse_args()
    return Work(options.model, options.fleet, options.cohort, options.seconds, options.accelerator)


def data(work):
    """Return inputs (1797, ...) float32, labels (1797,) int64 and each client's rows (fleet, 50)."""
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)
    if work.model == "cnn":
        x = np.pad(np.repeat(np.repeat(x, 3, axis=1), 3, axis=2), ((0, 0), (2, 2), (2, 2)))[:, None]
    else:
        x = x.reshape(len(x), 64)
    draw = np.random.default_rng(11)
    needed = work.fleet * SAMPLES
    deals = [draw.permutation(len(x)) for _ in range(-(-needed // len(x)))]
    rows = np.concatenate(deals)[:needed].reshape(work.fleet, SAMPLES)
    return np.ascontiguousarray(x), digits.target.astype(np.int64), rows


class Stopwatch:
    """Times rounds. The first is set-up and compilation, and is left out of the figure."""

    def __init__(self, work, name):
        self.work = work
        self.name = name
        self.rounds_s = []
        self._began = time.perf_counter()

    def restart(self):
        """Begin the first round now: what came before was the framework's start."""
        self._began = time.perf_counter()

    def lap(self):
        """End a round; return whether there is time for another."""
        now = time.perf_counter()
        self.rounds_s.append(now - self._began)
        self._began = now
        return len(self.rounds_s) < ROUNDS_AT_LEAST or (
            sum(self.rounds_s[1:]) < self.work.seconds and len(self.rounds_s) < ROUNDS_AT_MOST
        )

    def planned_rounds(self, clients_per_second):
        """Return a number of rounds for runners that must fix it beforehand, given a guess of their speed."""
        rounds = 1 + int(self.work.seconds * clients_per_second / self.work.cohort)
        return max(ROUNDS_AT_LEAST, min(ROUNDS_AT_MOST, rounds))

    def report(self, accuracy, **more):
        """Print the result as the last line, for run.py."""
        typical = statistics.median(self.rounds_s[1:])
        result = {
            "runner": self.name,
            **asdict(self.work),
            "rounds": len(self.rounds_s),
            "first_round_s": self.rounds_s[0],
            "round_s": typical,
            "clients_per_second": self.work.cohort / typical,
            "accuracy": accuracy,
            **more,
        }
        sys.stdout.flush()
        print(json.dumps(result))
