"""Ways of letting devices in that a search tries: first waves, growth and pauses, and the plan as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from fedlite.rollout.strategy import Stage
from fedlite.units import DAY_S, HOUR_S, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.rollout.plan import Plan

FIRST: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
GROWTH: Final = (2.0, 4.0, 10.0, 1000.0)
PAUSES_S: Final = (6 * HOUR_S, 12 * HOUR_S, DAY_S, 2 * DAY_S)
"""What is tried: share of the first wave, by how much the next ones grow (a thousand: all), and how long each lasts."""


@dataclass(frozen=True)
class Candidate:
    """One way of letting devices in: shares that grow, and how long each of them is held; without any, the plan's."""

    shares: tuple[float, ...]
    holds_s: tuple[float, ...]
    name: str = field(default="", compare=False)

    @classmethod
    def grown(cls, first: float, growth: float, pause_s: float) -> Candidate:
        """Return shares that grow by a factor up to all, with a pause after each but the last."""
        shares, share = [], first
        while share < 1.0:
            shares.append(round(share, 4))
            share *= growth
        name = f"{', '.join(f'{100 * share:.4g}' for share in (*shares, 1.0))} %"
        name += f" every {show(pause_s, 'time')}" if shares else " at once"
        return cls((*shares, 1.0), (*(pause_s for _ in shares), 0.0), name)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Candidate:
        """Return what `record` was made of."""
        return cls(tuple(record["shares"]), tuple(record["holds_s"]))

    @property
    def record(self) -> dict[str, Any]:
        """Return it as plain values, for a task."""
        return {"shares": list(self.shares), "holds_s": list(self.holds_s)}

    def carried(self, plan: Plan) -> Plan:
        """Return the plan with devices let in this way; stages that last ask all gates that are asked at ends."""
        if not self.shares:
            return plan
        analyses = asked_at_ends(plan)
        stages = tuple(
            Stage(f"{share:.4g}", number, share, hold_s, analyses=analyses if hold_s else ())
            for number, (share, hold_s) in enumerate(zip(self.shares, self.holds_s, strict=True), start=1)
        )
        return replace(plan, strategy=stages)

    def steps(self, plan: Plan) -> list[dict[str, Any]] | None:
        """Return it as the plan's `steps`; None for those that it has."""
        told: list[dict[str, Any]] = []
        for share, hold_s in zip(self.shares, self.holds_s, strict=True):
            told.append({"setWeight": f"{100 * share:.6g} %"})
            if hold_s:
                told.append({"pause": {"duration": show(hold_s, "time")}})
                if analyses := asked_at_ends(plan):
                    told.append({"analysis": list(analyses)})
        return told or None


AS_PLANNED: Final = Candidate((), (), "as planned")


def asked_at_ends(plan: Plan) -> tuple[str, ...]:
    """Return the gates that look only when a step asks them."""
    return tuple(watch.name for watch in plan.watches if math.isinf(watch.every_s))


def within(horizon_s: float) -> list[Candidate]:
    """Return what is tried beside the plan itself: all that ends before the horizon, each way once."""
    tried = (Candidate.grown(*told) for told in product(FIRST, GROWTH, PAUSES_S))
    # The same shares at the same times are one way, however they were come by.
    return list(dict.fromkeys(one for one in tried if sum(one.holds_s) < horizon_s))
