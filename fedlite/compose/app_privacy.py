"""The epsilon of an app whose strategy is one of Flower's differential-privacy wrappers with fixed clipping.

The wrapper adds noise of standard deviation z C / n to the mean that the strategy under it made. Flower's FedAvg weighs
updates: without an owner whose updates make up a part w of the mean, that mean moves by up to w C. The noise relative
to the sensitivity is therefore z / (n w), which is `privacy.accounting`'s with weights of one's own. The weights are
those of the replies that FedAvg was really given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fedlite.flower import averages
from fedlite.privacy import accounting
from fedlite.privacy.accounting import Mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.flower.averages import Averaged

DELTA: Final = 1e-5
"""Where the app keeps no accountant, which would say one."""
_WRAPPERS: Final = ("DifferentialPrivacy", "DPFedAvg")
"""How the names of Flower's own wrappers begin, new and old."""


@dataclass(frozen=True)
class Start:
    """One strategy at work, and what it averaged meanwhile."""

    strategy: Any
    means: list[Averaged] = field(default_factory=list)

    @classmethod
    def watched(cls, strategy: Any) -> Start:
        """Return a strategy that begins to work; what a wrapper's strategy averages is noted from now on."""
        start = cls(strategy)
        if start.wrapper is not None:
            averages.watch(getattr(strategy, "strategy", None), start.means.append)
        return start

    @property
    def wrapper(self) -> type | None:
        """Flower's own class that guards the updates, None if none does."""
        return next(
            (
                base
                for base in type(self.strategy).__mro__
                if base.__module__.partition(".")[0] == "flwr" and base.__name__.startswith(_WRAPPERS)
            ),
            None,
        )


def app_privacy(starts: Sequence[Start], partitions: int) -> dict[str, Any] | None:
    """Return epsilon, delta and the sentence that says what they mean; None if no strategy guards anything.

    Parameters
    ----------
    starts : sequence of Start
        All strategies of the app, in order.
    partitions : int
        Owners of data: device d holds that of owner d % partitions.
    """
    private = [start for start in starts if start.wrapper is not None]
    if not private:
        return None
    strategy, delta = private[0].strategy, _delta(private[0].strategy)
    why = _why_not(starts, private[0])
    if why is not None:
        return {"epsilon": None, "delta": delta, "statement": f"Not stated: {why}."}
    releases = [_release(mean, partitions) for mean in private[0].means]
    spent = accounting.spent(float(strategy.noise_multiplier), int(strategy.num_sampled_clients), releases, delta)
    clips = "ClientSide" in type(strategy).__name__
    condition = " It holds if the clients clip, as fixedclipping_mod does." if clips else ""
    return {"epsilon": spent.epsilon, "delta": delta, "statement": spent.statement + condition}


def _why_not(starts: Sequence[Start], start: Start) -> str | None:
    """Return why no epsilon can be stated, None if it can."""
    kind, wrapper = type(start.strategy), start.wrapper
    if len(starts) > 1:
        return "several strategies were at work, and only their sum would mean something"
    if wrapper is None or kind is not wrapper:
        return f"{kind.__name__} is a class of its own on top of Flower's, and may do what it likes"
    if "Adaptive" in kind.__name__:
        return "Flower's adaptive clipping has no accountant (see docs/concepts/privacy.md)"
    if not kind.__name__.startswith(_WRAPPERS[0]):
        return f"{kind.__name__} leaves noise or clipping to clients, of which nobody here knows"
    if not averages.is_fedavg(start.strategy.strategy):
        name = type(start.strategy.strategy).__name__
        return f"the noise comes after {name}'s own step, whose sensitivity clipping does not bound"
    if any(mean.has_scalars for mean in start.means):
        return "arrays without a dimension are neither clipped nor noised by Flower's wrapper, and the model has some"
    return None


def _delta(strategy: Any) -> float:
    config = getattr(getattr(strategy, "accountant", None), "config", None)
    return float(getattr(config, "delta", DELTA))


def _release(mean: Averaged, partitions: int) -> Mean:
    """Return what one mean was made of, by owner."""
    shares: dict[int, int] = {}
    weights: dict[int, float] = {}
    for device, weight in mean.weights:
        owner = device % partitions
        shares[owner] = shares.get(owner, 0) + 1
        weights[owner] = weights.get(owner, 0.0) + weight
    return Mean(len(mean.weights), max(shares.values()), max(weights.values()) / sum(weights.values()))
