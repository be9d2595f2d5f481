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
from fedlite.rollout.wave import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate
    from fedlite.rollout.wave import Wave

    Seen = tuple[NDArray[np.int64], NDArray[np.int64]]
    """Devices of the treated and of the control arm at each look."""
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
    held = wave.held_at(gate)
    entries = wave.replications * (int((looks + held).sum()) if gate.reads == "samples" else 2 * len(looks))
    if entries > _MOST_ENTRIES:
        raise FedliteError(
            f"n: got {entries} numbers to draw and look at ({wave.replications} replications, {wave.n} devices per arm,"
            f" looks: {len(looks)}), expected {_MOST_ENTRIES} or fewer; lower n, looks or replications"
        )
    width = int(max(looks[-1], held[-1])) if gate.reads == "samples" else len(looks)
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
    looks, held = wave.seen_at(gate), wave.held_at(gate)
    if gate.reads == "failures":
        return gate.trips(_failures(wave, effect, (looks, held), waves, rng))
    if gate.reads == "sums":
        return gate.trips(_sums(wave, effect, (looks, held), waves, rng))
    treated, control = _samples(wave, effect, (looks, held), waves, rng)
    return np.stack(
        [gate.trips(Evidence.of_samples(treated[:, :n], control[:, :m])) for n, m in zip(looks, held, strict=True)],
        axis=-1,
    )


def _failures(wave: Wave, effect: float, seen: Seen, waves: int, rng: np.random.Generator) -> Evidence:
    treated, control = (
        np.cumsum(rng.binomial(np.diff(looks, prepend=0), rate, (waves, len(looks))), axis=-1)
        for looks, rate in zip(seen, (wave.rate(effect), wave.baseline), strict=True)
    )
    n, control_n = (np.broadcast_to(looks, treated.shape) for looks in seen)
    expected = expected_failures(n, treated, control_n, control)
    return Evidence(n=n, total=treated, control_n=control_n, control_total=control, expected=expected)


def _sums(wave: Wave, effect: float, seen: Seen, waves: int, rng: np.random.Generator) -> Evidence:
    told: list[NDArray[np.float64]] = []
    for looks, mean in zip(seen, (effect, wave.baseline), strict=True):
        more = np.broadcast_to(np.diff(looks, prepend=0), (waves, len(looks)))
        affected = rng.binomial(more, wave.class_share)
        parts = (_normal_sums(affected, mean, wave, rng), _normal_sums(more - affected, wave.baseline, wave, rng))
        told += [np.broadcast_to(looks, more.shape), *(np.cumsum(a + b, axis=-1) for a, b in zip(*parts, strict=True))]
    return Evidence(*told)


def _normal_sums(
    n: NDArray[np.int64], mean: float, wave: Wave, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of n metrics and of their squares: of each part of the wave those of normal metrics."""
    parts = _parts(wave)
    dealt = rng.multinomial(n, [part.share for part in parts])
    total, squares = np.zeros(n.shape), np.zeros(n.shape)
    for part, mine in zip(parts, np.moveaxis(dealt, -1, 0), strict=True):
        own = part.mean + part.slope * (mean - wave.baseline)
        summed = mine * own + np.sqrt(mine) * part.sd * rng.standard_normal(n.shape)
        # The squares share no more with the sum than its own square.
        within = np.where(mine > 1, 2.0 * rng.standard_gamma(np.maximum(mine - 1, 1) / 2.0), 0.0)
        total += summed
        squares += part.sd**2 * within + summed**2 / np.maximum(mine, 1)
    return total, squares


def _parts(wave: Wave) -> tuple[Part, ...]:
    return wave.parts or (Part(1.0, wave.baseline, wave.sd or 0.0),)


def _samples(
    wave: Wave, effect: float, seen: Seen, waves: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts = _parts(wave)
    mean, sd, slope = (np.array([getattr(part, name) for part in parts]) for name in ("mean", "sd", "slope"))

    def drawn(looks: NDArray[np.int64], effect: float) -> NDArray[np.float64]:
        shape = (waves, int(looks[-1]))
        of = rng.choice(len(parts), shape, p=[part.share for part in parts])
        moved = np.where(rng.random(shape) < wave.class_share, effect - wave.baseline, 0.0)
        return np.asarray(mean[of] + slope[of] * moved + sd[of] * rng.standard_normal(shape))

    return drawn(seen[0], effect), drawn(seen[1], wave.baseline)
