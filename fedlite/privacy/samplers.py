"""How a round's clients are drawn, and what that is worth: the sampler is the guarantee.

=================  ======================================================  =====================  ======================
sampling           who takes part in a round                               relations              accountant
=================  ======================================================  =====================  ======================
none               whoever the devices' state allows; nothing is claimed   all                    exact (Gaussian)
poisson            each client alone, probability cohort / population      all                    PLD (or RDP)
truncated-poisson  the same, and of more than `cap` a uniform choice       all                    PLD
fixed              a uniform cohort of fixed size, without replacement     replace-one, zero-out  RDP
=================  ======================================================  =====================  ======================

With a cohort of fixed size a client that is added displaces another: there is no add-remove.

References
----------
Mironov, Talwar, Zhang 2019 (Poisson, RDP). Wang, Balle, Kasiviswanathan 2019 (without replacement, RDP, for the noise
relative to the sensitivity of replacing). Doroshenko et al. 2022 (PLD). Chua et al. 2024, "Scalable DP-SGD: shuffling
vs. Poisson subsampling" (truncated Poisson).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dp_accounting import dp_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fedlite.privacy.relations import Relation

ACCOUNTANTS: Final = ("pld", "rdp")


@dataclass(frozen=True)
class Draw:
    """The numbers of a round's draw: clients there are, expected in a round, and at most."""

    population: int
    cohort: int
    cap: int | None = None


@dataclass(frozen=True)
class Sampler:
    """One way to draw a cohort.

    Attributes
    ----------
    name : str
    assumption : str
        What has to hold, a sentence.
    relations : mapping of str to tuple of str
        Relations it can be accounted under, the usual one first, with the accountants that can, the usual one first.
    event : callable
        (noise multiplier, Draw, Relation) to dp-accounting's event of one round.
    """

    name: str
    assumption: str
    relations: Mapping[str, tuple[str, ...]]
    event: Callable[[float, Draw, Relation], Any]


def _everyone(noise: float, draw: Draw, relation: Relation) -> Any:
    del draw
    return dp_event.GaussianDpEvent(noise / relation.sensitivity)


def _poisson(noise: float, draw: Draw, relation: Relation) -> Any:
    del relation  # the accountant knows it
    return dp_event.PoissonSampledDpEvent(draw.cohort / draw.population, dp_event.GaussianDpEvent(noise))


def _truncated(noise: float, draw: Draw, relation: Relation) -> Any:
    del relation
    return dp_event.TruncatedSubsampledGaussianDpEvent(
        dataset_size=draw.population,
        sampling_probability=draw.cohort / draw.population,
        truncated_batch_size=draw.cap or draw.population,
        noise_multiplier=noise,
    )


def _fixed(noise: float, draw: Draw, relation: Relation) -> Any:
    # The theorem is about replacing, and about noise relative to what that moves.
    gaussian = dp_event.GaussianDpEvent(noise / relation.sensitivity)
    return dp_event.SampledWithoutReplacementDpEvent(draw.population, draw.cohort, gaussian)


_EXACT: Final = ("exact",)
SAMPLERS: Final[Mapping[str, Sampler]] = MappingProxyType(
    {
        sampler.name: sampler
        for sampler in (
            Sampler(
                "none",
                "No amplification by sampling is claimed: who takes part may depend on the devices, but not on whether"
                " this client is there.",
                {"zero-out": _EXACT, "add-remove": _EXACT, "replace-one": _EXACT},
                _everyone,
            ),
            Sampler(
                "poisson",
                "Every round draws every client independently with the same probability, whatever its battery, network"
                " or charger; noise is scaled by the expected cohort, and empty rounds release noise too.",
                {"add-remove": ACCOUNTANTS, "zero-out": ACCOUNTANTS, "replace-one": ("pld",)},
                _poisson,
            ),
            Sampler(
                "truncated-poisson",
                "Every round draws every client independently with the same probability, whatever its battery, network"
                " or charger, and of more than the cap keeps a uniform choice; noise is scaled by the expected cohort,"
                " and empty rounds release noise too.",
                {"add-remove": ("pld",), "zero-out": ("pld",), "replace-one": ("pld",)},
                _truncated,
            ),
            Sampler(
                "fixed",
                "Every round draws its cohort uniformly without replacement from the whole population, whatever the"
                " devices' state; over-selection, deadlines and drop-outs break this.",
                {"replace-one": ("rdp",), "zero-out": ("rdp",)},
                _fixed,
            ),
        )
    }
)
