"""What a gate reads of a wave, and what every gate offers.

Everything is cumulative from the first device on, so a gate keeps no state: it is a pure function of its parameters and
of this record, and may be asked about one look, or about all looks of all replications at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reads = Literal["failures", "sums", "samples"]
"""Counts of devices that failed; sums and squares of a metric; the metric of every device."""
Valid = Literal["none", "one look", "always"]
"""For which looks P(ever trips without a regression) <= alpha: none, one that was planned, or any."""


@dataclass(frozen=True)
class Evidence:
    """What was seen of both arms up to each look. Arrays of one shape, any shape; one entry is one look.

    A trial is what can fail once: an install, or a device's day. It is counted at the look at which its outcome is.

    Parameters
    ----------
    n : array
        Trials, or devices measured, of the treated arm: those that have the new model.
    total : array
        Failures among them, or the sum of the metric.
    squares : array or None
        Sum of the metric's squares, for gates that read sums.
    control_n, control_total, control_squares : array or None
        The same of the devices that are held out, for gates with two arms.
    expected : array or None
        Failures that the treated arm would have had, had every trial between two looks failed with the same chance in
        both arms: see `expected_failures`.
    treated, control : array of shape (*n.shape, devices) or None
        The metric of every device at that look, for gates that read samples; see `Evidence.of_samples`.
    """

    n: NDArray[Any]
    total: NDArray[Any]
    squares: NDArray[Any] | None = None
    control_n: NDArray[Any] | None = None
    control_total: NDArray[Any] | None = None
    control_squares: NDArray[Any] | None = None
    expected: NDArray[Any] | None = None
    treated: NDArray[Any] | None = None
    control: NDArray[Any] | None = None

    @classmethod
    def of_samples(cls, treated: NDArray[Any], control: NDArray[Any]) -> Evidence:
        """Return what gates read of measured devices, of which every look has as many; devices are the last axis."""
        shape = np.broadcast_shapes(treated.shape[:-1], control.shape[:-1])
        return cls(
            n=np.full(shape, treated.shape[-1]),
            total=np.broadcast_to(treated.sum(-1), shape),
            squares=np.broadcast_to(np.square(treated).sum(-1), shape),
            control_n=np.full(shape, control.shape[-1]),
            control_total=np.broadcast_to(control.sum(-1), shape),
            control_squares=np.broadcast_to(np.square(control).sum(-1), shape),
            treated=treated,
            control=control,
        )

    def enough(self, least: int) -> NDArray[np.bool_]:
        """Return where so many devices of the treated arm were seen."""
        return np.asarray(self.n >= least)


class Gate(Protocol):
    """Decides from evidence whether a wave has a regression. Implementations are frozen dataclasses."""

    @property
    def reads(self) -> Reads:
        """What of the evidence it needs."""

    @property
    def two_arms(self) -> bool:
        """Whether it compares with devices that are held out."""

    @property
    def valid(self) -> Valid:
        """For which looks its false alarms stay below alpha."""

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where a regression is found, in the shape of `evidence.n`."""


def expected_failures(
    n: NDArray[Any], total: NDArray[Any], control_n: NDArray[Any], control_total: NDArray[Any]
) -> NDArray[np.float64]:
    """Return `Evidence.expected` of cumulative counts whose last axis is the looks, in order.

    Between two looks it grows by the failures of both arms times the treated arm's share of the trials, as the log-rank
    test has it. Where a coin deals every device that reports to an arm, the coin's chance times all failures may stand
    for it, and keeps its power even if every device is a look of its own.
    """
    treated, held_out, failed, failed_there = (
        np.diff(np.asarray(one, np.float64), prepend=0.0) for one in (n, control_n, total, control_total)
    )
    trials = treated + held_out
    # Failures without a trial tell nothing about the arms; a share of 1 makes them count against a regression.
    share = np.divide(treated, trials, out=np.ones_like(trials), where=trials > 0)
    return np.cumsum(share * (failed + failed_there), axis=-1)
