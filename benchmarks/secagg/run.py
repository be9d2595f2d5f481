"""How long secure aggregation takes on one core, clients and server together, and how many bytes it sends.

    OMP_NUM_THREADS=1 python benchmarks/secagg/run.py > benchmarks/secagg/results.md

Every row is one whole round of the protocol (fedlite/privacy/secagg): keys, letters, masks, unmasking. The time is that
of the processor for all clients and the server. Who is lost is lost after sharing its secrets, which is when it costs
the server most. The sum is compared with the plain one.
"""

from __future__ import annotations

import time

import numpy as np

from fedlite.privacy.secagg import abort
from fedlite.privacy.secagg.rehearsal import rehearse
from fedlite.privacy.secagg.terms import Terms
from fedlite.rng import stream

ROWS = (
    (100, 32, 100_000, 0.0),
    (100, 32, 100_000, 0.3),
    (100, 99, 100_000, 0.3),
    (1000, 50, 100_000, 0.05),
    (1000, 100, 100_000, 0.05),
    (1000, 100, 100_000, 0.3),
)
HEAD = (
    "clients | neighbours | threshold | numbers | lost | processor time | sent by a client, over float32 |"
    " received beside the model | chance to lose the round, at most"
)


def measured(clients: int, neighbours: int, length: int, drop: float) -> str:
    """Return one row of the table."""
    terms = Terms(0, clients, neighbours, (neighbours + 1) // 2, length, 16, 1.0)
    draws = np.random.default_rng(0)
    levels = draws.integers(0, 2**16, (clients, length), dtype=np.uint32)
    lost = set(draws.choice(clients, round(clients * drop), replace=False).tolist())
    began_s = time.process_time()
    done = rehearse(terms, lambda index: levels[index], lambda name: stream(0, "secagg", name), [(), (), lost, ()])
    took_s = time.process_time() - began_s
    assert np.array_equal(done.total, levels[list(done.clients)].sum(axis=0))  # noqa: S101 - what is measured is right
    up, down = done.up_bytes.sum(axis=0).max(), done.down_bytes.sum(axis=0).max()
    chance = abort.most_likely(clients, terms.holders, terms.threshold, drop)
    cells = (clients, neighbours, terms.threshold, length, f"{drop:.0%}", f"{took_s:.1f} s")
    return " | ".join(map(str, (*cells, f"{up:,} B, {up / 4 / length:.3f}", f"{down:,} B", f"{chance:.2g}")))


print(
    "# Secure aggregation\n\nMade by `OMP_NUM_THREADS=1 python benchmarks/secagg/run.py > benchmarks/secagg/results.md`"
)
print("on one core of a shared machine of two; the sums are those of the plain vectors.\n")
print(f"| {HEAD} |\n|{'--|' * (HEAD.count('|') + 1)}")
for row in ROWS:
    print(f"| {measured(*row)} |", flush=True)
