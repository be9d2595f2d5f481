"""Claims of papers, and verdicts on them that follow from the numbers of the runs alone.

    a figure             reproduced: all seeds get there, our mean is within a fourth of it
                         same order: all get there, within a factor of the root of ten
    better than another  reproduced: seeds tell them apart, and the figure, if there is one, is within a fourth
                         same order: they do, and the figure is further off
                         undecided: they do not, and the interval has the figure, or, without one, the mean says so
    as good as another   reproduced: the interval of what it loses stays within the margin
                         undecided: the mean does
    gains more here than there
                         reproduced: seeds tell the gain in one pair of settings from that in another pair
                         undecided: they do not, and the mean says so
    all                  not reproduced: else

A run that never gets to a target counts with all that it spent, which is the least that it can be: its setting has no
interval, and may be the worse one of a pair only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from measures import Measure, Value

from fedlite.report.noise import Difference, Interval, interval, paired

Values = Callable[[str, Measure], Mapping[int, Value]]
"""(label of a setting, what is measured) -> by seed."""
CLOSE = 1.25
SAME_ORDER = math.sqrt(10.0)


class Verdict(StrEnum):
    REPRODUCED = "reproduced"
    SAME_ORDER = "same order"
    UNDECIDED = "undecided"
    NOT_REPRODUCED = "not reproduced"


@dataclass(frozen=True)
class Judged:
    """What the runs say of a claim: in words, and the verdict."""

    ours: str
    verdict: Verdict


@dataclass(frozen=True)
class Figure:
    """A number in the paper.

    Attributes
    ----------
    claim, paper : str
        In words.
    label : str
        Of the setting in the study.
    measure : Measure
    figure : float
        The paper's.
    """

    claim: str
    paper: str
    label: str
    measure: Measure
    figure: float

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label,)

    def judge(self, values: Values) -> Judged:
        found = values(self.label, self.measure)
        mean, reached = fmean(numbers(found).values()), all(value.reached for value in found.values())
        return Judged(shown(found, self.measure), self._verdict(mean, reached=reached))

    def _verdict(self, mean: float, *, reached: bool) -> Verdict:
        if not reached or apart(mean, self.figure) > SAME_ORDER:
            return Verdict.NOT_REPRODUCED
        return Verdict.REPRODUCED if apart(mean, self.figure) <= CLOSE else Verdict.SAME_ORDER


@dataclass(frozen=True)
class Better:
    """One setting is better than another: by points where shares are measured, by a factor where costs are.

    Attributes
    ----------
    claim, paper : str
        In words.
    label, than : str
        Settings in the study.
    measure : Measure
    figure : float, optional
        By how much, in the paper: points as a share, or a factor.
    but : str
        Why it comes out for another reason than the paper's, if it does.
    """

    claim: str
    paper: str
    label: str
    than: str
    measure: Measure
    figure: float | None = None
    but: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label, self.than)

    def judge(self, values: Values) -> Judged:
        mine, others = values(self.label, self.measure), values(self.than, self.measure)
        if not all(value.reached for value in mine.values()):
            return Judged(f"{shown(mine, self.measure)} against {shown(others, self.measure)}", Verdict.NOT_REPRODUCED)
        least = not all(value.reached for value in others.values())
        gain = advantage(mine, others, self.measure)
        return Judged(self._words(gain, least=least), self._verdict(gain))

    def _verdict(self, gain: Difference) -> Verdict:
        size, low, high = (self._size(end) for end in (gain.mean, gain.low, gain.high))
        if not gain.is_told_apart:
            possible = gain.mean > 0 if self.figure is None else low <= self.figure <= high
            return Verdict.UNDECIDED if possible else Verdict.NOT_REPRODUCED
        if gain.mean < 0:
            return Verdict.NOT_REPRODUCED
        close = self.figure is None or apart(size, self.figure) <= CLOSE
        return Verdict.REPRODUCED if close else Verdict.SAME_ORDER

    def _size(self, gain: float) -> float:
        """Return points as a share, or a factor."""
        return gain if self.measure.more_is_better else math.exp(gain)

    def _words(self, gain: Difference, *, least: bool) -> str:
        if self.measure.more_is_better:
            return in_points(gain)
        mean, low, high = (f"{self._size(end):.3g}" for end in (gain.mean, gain.low, gain.high))
        return f"at least {mean} times" if least else f"{mean} times ({low} to {high})"


@dataclass(frozen=True)
class AsGood:
    """One setting loses at most a margin against another.

    Attributes
    ----------
    claim, paper : str
        In words.
    label, than : str
        Settings in the study.
    measure : Measure
        A share.
    margin : float
    """

    claim: str
    paper: str
    label: str
    than: str
    measure: Measure
    margin: float = 0.01

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label, self.than)

    def judge(self, values: Values) -> Judged:
        gain = advantage(values(self.label, self.measure), values(self.than, self.measure), self.measure)
        verdict = (
            Verdict.REPRODUCED
            if gain.low >= -self.margin
            else Verdict.UNDECIDED
            if gain.mean >= -self.margin
            else Verdict.NOT_REPRODUCED
        )
        return Judged(in_points(gain), verdict)


@dataclass(frozen=True)
class GainsMore:
    """What one setting gains on another is more than what a third gains on a fourth, on the same seeds.

    Attributes
    ----------
    claim, paper : str
        In words.
    here, there : tuple of str
        Two settings each, the better one first.
    measure : Measure
        A share.
    """

    claim: str
    paper: str
    here: tuple[str, str]
    there: tuple[str, str]
    measure: Measure

    @property
    def labels(self) -> tuple[str, ...]:
        return (*self.here, *self.there)

    def judge(self, values: Values) -> Judged:
        more = paired(self._gains(values, self.here), self._gains(values, self.there))
        if more.is_told_apart:
            return Judged(in_points(more), Verdict.REPRODUCED if more.mean > 0 else Verdict.NOT_REPRODUCED)
        return Judged(in_points(more), Verdict.UNDECIDED if more.mean > 0 else Verdict.NOT_REPRODUCED)

    def _gains(self, values: Values, pair: tuple[str, str]) -> dict[int, float]:
        mine, others = (numbers(values(label, self.measure)) for label in pair)
        return {seed: mine[seed] - others[seed] for seed in mine}


Claim = Figure | Better | AsGood | GainsMore


def apart(one: float, other: float) -> float:
    """Return by which factor two positive numbers differ, either way."""
    return max(one / other, other / one) if one > 0 and other > 0 else math.inf


def advantage(mine: Mapping[int, Value], others: Mapping[int, Value], measure: Measure) -> Difference:
    """Return by how much one setting is better on the same seeds; of costs, by the logarithm of their ratio."""
    if measure.more_is_better:
        return paired(numbers(mine), numbers(others))
    logs = [{seed: math.log(number) for seed, number in numbers(one).items()} for one in (others, mine)]
    return paired(*logs)


def numbers(values: Mapping[int, Value]) -> dict[int, float]:
    return {seed: value.number for seed, value in values.items()}


def over_seeds(values: Mapping[int, Value]) -> Interval:
    """Return mean and interval; without ends where a run never got there."""
    found = interval(numbers(values).values())
    return found if all(value.reached for value in values.values()) else Interval(found.mean, math.nan, math.nan)


def shown(values: Mapping[int, Value], measure: Measure) -> str:
    """Return "30 (25 to 35)", or "more than 400, reached in 1 of 3"."""
    found, came = over_seeds(values), sum(value.reached for value in values.values())
    if came < len(values):
        return f"more than {measure.show(found.mean)}, reached in {came} of {len(values)}"
    # A cost is above 0 and a share within 0 and 1, whatever three seeds say of the spread.
    low, high = max(found.low, 0.0), min(found.high, 1.0) if measure.more_is_better else found.high
    return f"{measure.show(found.mean)} ({measure.show(low)} to {measure.show(high)})"


def in_points(gain: Difference) -> str:
    """Return "+2.7 points (+2.1 to +3.3)" of a difference of shares."""
    mean, low, high = (f"{100 * share:+.1f}" for share in (gain.mean, gain.low, gain.high))
    return f"{mean} points ({low} to {high})"
