"""What a sequential gate has not ruled out: confidence bounds that hold at all looks at once.

A gate that trips with a chance of at most alpha, however often it is asked, tests a baseline, or "no difference". Put
any other value in its place and ask again: the values against which it has not tripped at any look so far make up a
confidence sequence, which covers the true value at all times with a chance of at least 1 - alpha. The evidence falls
as the value rises, so these are the values above a bound, found by bisection; it lies above the baseline exactly where
the gate would have tripped. The other bound comes from the same test of the mirror image: devices on which it went
well, or the other direction. Each bound is wrong, ever, with a chance of at most alpha.

References
----------
Darling, Robbins 1967, "Confidence sequences for mean, variance, and median"; Johari, Koomen, Pekelis, Walsh 2022,
"Always valid inference", for tests turned into intervals; Ramdas, Grünwald, Vovk, Shafer 2023, section 4.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout.gates.direction import sign_of
from fedlite.rollout.gates.evidence import Evidence
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.sequential import Sequential

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bounds = tuple[Floats, Floats, Floats]

_HALVINGS: Final = 60
_NEXT_TO_NOTHING: Final = 1e-12
_WIDEST: Final = 1e6
"""In standard errors: what is not ruled out so far away never will be."""


def has_bounds(gate: Any) -> bool:
    """Tell whether `bounds` knows how to turn a gate around: an e-process of a known baseline, or a mixture SPRT.

    The e-process of two arms tests that they fail alike, whatever the rate; it tests no other ratio exactly.
    """
    return isinstance(gate, Msprt) or (isinstance(gate, Sequential) and gate.baseline is not None)


def bounds(gate: Sequential | Msprt, evidence: Evidence) -> Bounds:
    """Return what was observed and what is not ruled out.

    Parameters
    ----------
    gate : Sequential or Msprt
        One of which `has_bounds` is true.
    evidence : Evidence
        Cumulative; the last axis is the looks, in order.

    Returns
    -------
    observed, low, high : ndarray, in the shape of `evidence.n`
        Failure rate; or the mean of the treated devices less that of those held out, in the metric's unit. Not a number
        and infinities before anything is known.
    """
    if isinstance(gate, Sequential):
        return _of_rates(gate, evidence)
    return _of_differences(gate, evidence)


def _of_rates(gate: Sequential, evidence: Evidence) -> Bounds:
    n, failed = np.asarray(evidence.n, np.float64), np.asarray(evidence.total, np.float64)
    observed = np.divide(failed, n, out=np.full(n.shape, np.nan), where=n > 0)
    low = _least_rate(gate, n, failed)
    high = 1.0 - _least_rate(gate, n, n - failed)
    return observed, _highest_so_far(low), -_highest_so_far(-high)


def _least_rate(gate: Sequential, n: Floats, failed: Floats) -> Floats:
    """Return the rate up to which every baseline is ruled out at that look, 0 where none is."""
    seen = Evidence(n=n, total=failed)
    start = np.full(n.shape, _NEXT_TO_NOTHING)
    # A baseline that is the observed rate explains it best, and is never ruled out.
    end = np.clip(failed / np.maximum(n, 1.0), start, 1.0 - _NEXT_TO_NOTHING)
    found = _edge(lambda rate: gate.against(rate, seen) >= -math.log(gate.alpha), start, end)
    return np.where(found > _NEXT_TO_NOTHING, found, 0.0)


def _of_differences(gate: Msprt, evidence: Evidence) -> Bounds:
    if evidence.control_n is None or evidence.control_total is None:
        raise ValueError("a mixture SPRT reads both arms, and the evidence has no control arm")
    n, m = np.maximum(evidence.n, 1), np.maximum(evidence.control_n, 1)
    known = (evidence.n > 0) & (evidence.control_n > 0)
    observed = np.where(known, evidence.total / n - evidence.control_total / m, np.nan)
    up = _least_difference(replace(gate, direction="increase"), evidence, observed)
    down = _least_difference(replace(gate, direction="decrease"), evidence, observed)
    return observed, _highest_so_far(up), -_highest_so_far(down)


def _least_difference(gate: Msprt, evidence: Evidence, observed: Floats) -> Floats:
    """Return the worsening up to which every one is ruled out at that look, minus infinity where none is."""
    sign = sign_of(gate.direction)
    end = np.where(np.isnan(observed), 0.0, sign * observed)

    def ruled_out(worsening: Floats) -> NDArray[np.bool_]:
        return gate.log_evidence(_moved(evidence, sign * worsening)) >= -math.log(gate.alpha)

    start = end - _WIDEST * _scale(gate, evidence)
    found = _edge(ruled_out, start, end)
    return np.where((found > start) & ~np.isnan(observed), found, -np.inf)


def _moved(evidence: Evidence, by: Floats) -> Evidence:
    """Return the evidence as it were, had every treated device measured so much less."""
    squares = None
    if evidence.squares is not None:
        squares = evidence.squares - 2.0 * by * evidence.total + evidence.n * by**2
    return replace(evidence, total=evidence.total - evidence.n * by, squares=squares)


def _scale(gate: Msprt, evidence: Evidence) -> Floats:
    """Return about a standard deviation, to begin the search from."""
    if gate.sd is not None or evidence.squares is None:
        return np.full(np.shape(evidence.n), gate.sd or 1.0)
    n = np.maximum(evidence.n, 1)
    return np.asarray(np.sqrt(np.maximum(evidence.squares / n - (evidence.total / n) ** 2, _NEXT_TO_NOTHING)))


def _edge(ruled_out: Callable[[Floats], NDArray[np.bool_]], start: Floats, end: Floats) -> Floats:
    """Return up to where values are ruled out, `start` where none is; `end` is one that is not."""
    out, open_ = start.copy(), end.copy()
    any_ = ruled_out(start)
    for _ in range(_HALVINGS):
        middle = 0.5 * (out + open_)
        found = ruled_out(middle)
        out, open_ = np.where(found, middle, out), np.where(found, open_, middle)
    return np.where(any_, out, start)


def _highest_so_far(low: Floats) -> Floats:
    return np.asarray(np.maximum.accumulate(low, axis=-1))
