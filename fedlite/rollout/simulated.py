"""When a gate trips, by simulated waves: for two arms and for continuous metrics, where no recursion is at hand.

Waves are drawn as what the gate reads: binomial failures or sums of normal metrics between two looks, whose laws are
exact, or every device where it reads samples. Effect and baseline are drawn from the same stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.errors import FedliteError
from fedlite.rng import stream
from fedlite.rollout.gates.evidence import Evidence, expected_failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate
    from fedlite.rollout.wave import Wave

    Drawn = Callable[[np.random.Generator, int], Iterator[NDArray[np.bool_]]]

_BLOCK: Final = 2_000_000
"""Numbers in one array, at most (unless one wave has more)."""
_MOST_ENTRIES: Final = 50_000_000
"""Numbers that a gate reads, all waves and looks together: about half a minute."""


def first_looks(gate: Gate, wave: Wave, effect: float) -> NDArray[np.int64]:
    """Return the look (from 0) at which each simulated wave trips the gate first, -1 if none; shape (replications,).

    Parameters
    ----------
    gate : Gate
    wave : Wave
        What it watches; `sd` tells that the metric is continuous.
    effect : float
        Failure rate, or mean of the metric, of the devices that are affected.

    Raises
    ------
    FedliteError
        If more would be drawn than anybody waits for.
    """
    looks = wave.seen_at(gate)
    entries = 2 * wave.replications * (int(looks.sum()) if gate.reads == "samples" else len(looks))
    if entries > _MOST_ENTRIES:
        raise FedliteError(
            f"n: got {entries} numbers to draw and look at ({wave.replications} replications, {wave.n} devices per arm,"
            f" looks: {len(looks)}), expected {_MOST_ENTRIES} or fewer; lower n, looks or replications"
        )
    width = int(looks[-1]) if gate.reads == "samples" else len(looks)
    most = max(1, _BLOCK // width)
    found = []
    for block, begin in enumerate(range(0, wave.replications, most)):
        rng = stream(wave.seed, "rollout power", block)
        tripped = _tripped(gate, wave, effect, min(most, wave.replications - begin), rng)
        tripped = np.cumsum(tripped, axis=-1) > wave.spare
        found.append(np.where(tripped.any(-1), tripped.argmax(-1), -1))
    return np.concatenate(found)


def _tripped(gate: Gate, wave: Wave, effect: float, waves: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return whether the gate trips at each look of each wave, shape (waves, looks)."""
    looks = wave.seen_at(gate)
    if gate.reads == "failures":
        return gate.trips(_failures(wave, effect, looks, waves, rng))
    if gate.reads == "sums":
        return gate.trips(_sums(wave, effect, looks, waves, rng))
    treated, control = _samples(wave, effect, waves, rng)
    return np.stack([gate.trips(Evidence.of_samples(treated[:, :n], control[:, :n])) for n in looks], axis=-1)


def _failures(wave: Wave, effect: float, looks: NDArray[np.int64], waves: int, rng: np.random.Generator) -> Evidence:
    more = np.diff(looks, prepend=0)
    treated, control = (
        np.cumsum(rng.binomial(more, rate, (waves, len(looks))), axis=-1) for rate in (wave.rate(effect), wave.baseline)
    )
    n = np.broadcast_to(looks, treated.shape)
    expected = expected_failures(n, treated, n, control)
    return Evidence(n=n, total=treated, control_n=n, control_total=control, expected=expected)


def _sums(wave: Wave, effect: float, looks: NDArray[np.int64], waves: int, rng: np.random.Generator) -> Evidence:
    more = np.broadcast_to(np.diff(looks, prepend=0), (waves, len(looks)))
    affected = rng.binomial(more, wave.class_share)
    sums = {}
    for arm, mean in (("treated", effect), ("control", wave.baseline)):
        told = [_normal_sums(affected, mean, wave, rng), _normal_sums(more - affected, wave.baseline, wave, rng)]
        sums[arm] = [np.cumsum(sum(parts), axis=-1) for parts in zip(*told, strict=True)]
    n = np.broadcast_to(looks, more.shape)
    (total, squares), (control_total, control_squares) = sums["treated"], sums["control"]
    return Evidence(n, total, squares, n, control_total, control_squares)


def _normal_sums(
    n: NDArray[np.int64], mean: float, wave: Wave, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of n normal metrics and of their squares, which share no more than the sum's own square."""
    sd = wave.sd or 0.0
    total = n * mean + np.sqrt(n) * sd * rng.standard_normal(n.shape)
    within = np.where(n > 1, 2.0 * rng.standard_gamma(np.maximum(n - 1, 1) / 2.0), 0.0)
    return total, sd**2 * within + total**2 / np.maximum(n, 1)


def _samples(
    wave: Wave, effect: float, waves: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sd = wave.sd or 0.0
    noise = rng.standard_normal((2, waves, wave.n))
    affected = rng.random((waves, wave.n)) < wave.class_share
    treated = np.where(affected, effect, wave.baseline) + sd * noise[0]
    return treated, wave.baseline + sd * noise[1]
