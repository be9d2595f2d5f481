"""What each class of devices would get: the variant that it takes, and what that costs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.rollout.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.rollout.heat import Heat

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Variant:
    """One build of the new model, priced on each of P profiles. Arrays have shape (P,).

    Infinite memory, latency or energy means that the profile cannot run it at all.
    """

    name: str
    download_bytes: float
    """Over the air: of the difference to the old artefact where one is sent."""
    full_bytes: float
    """Of the whole artefact: what it takes of the storage."""
    peak_bytes: Floats
    latency_s: Floats
    inference_j: Floats
    accuracy: Floats
    meant_for: Bools
    """Profiles that the plan allows it on."""
    most_latency_s: float = np.inf
    least_memory_bytes: float = 0.0
    least_storage_bytes: float = 0.0

    @property
    def record(self) -> dict[str, Any]:
        """The variant as plain values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Variant:
        """Return what `record` gave."""
        told: dict[str, Any] = {
            name: np.array(value) if isinstance(value, list) else value for name, value in record.items()
        }
        return cls(**told)


@dataclass(frozen=True)
class Assigned:
    """The variant of each of P profiles, and its costs there. Arrays have shape (P,).

    `variant_of` is -1 where no variant fits, and `why` then the code of the `State` that says so.
    """

    names: tuple[str, ...]
    variant_of: NDArray[np.int64]
    why: NDArray[np.int64]
    download_bytes: Floats
    full_bytes: Floats
    latency_s: Floats
    inference_j: Floats
    accuracy: Floats


def assign(
    variants: Sequence[Variant], memory_bytes: Floats, storage_bytes: Floats, heat: Heat, *, best_accuracy: bool
) -> Assigned:
    """Return what each profile gets: the first variant that fits, or the most accurate one of those.

    Parameters
    ----------
    variants : sequence of Variant
        In the plan's order, which also decides between equally accurate ones.
    memory_bytes, storage_bytes : ndarrays, shape (P,)
        What a job may take of each profile.
    heat : Heat
        What makes inferences slower than the variant's latency.
    best_accuracy : bool
    """
    failures = np.array([_failures(variant, memory_bytes, storage_bytes, heat) for variant in variants])
    fits = failures == State.UPDATED.code
    rank = np.array([variant.accuracy for variant in variants]) if best_accuracy else np.zeros(fits.shape)
    chosen = np.argmax(np.where(fits, rank, -np.inf), axis=0)
    any_fits = fits.any(axis=0)
    # The reason of the variant that came furthest: of the last one in the plan, which is meant to be the smallest.
    why = np.where(any_fits, State.UPDATED.code, failures[-1])

    def of(name: str) -> Floats:
        told = np.array([np.broadcast_to(getattr(variant, name), any_fits.shape) for variant in variants])
        return np.where(any_fits, told[chosen, np.arange(len(chosen))], np.nan)

    return Assigned(
        tuple(variant.name for variant in variants),
        np.where(any_fits, chosen, -1),
        why,
        *(of(name) for name in ("download_bytes", "full_bytes", "latency_s", "inference_j", "accuracy")),
    )


def _failures(variant: Variant, memory_bytes: Floats, storage_bytes: Floats, heat: Heat) -> NDArray[np.int64]:
    """Return why each profile cannot take a variant, (P,) codes of `State`; `UPDATED` where it can."""
    reasons = [
        (State.NO_VARIANT, ~variant.meant_for | ~np.isfinite(variant.latency_s)),
        (State.NO_MEMORY, (variant.peak_bytes > memory_bytes) | (memory_bytes < variant.least_memory_bytes)),
        (State.NO_STORAGE, (variant.full_bytes > storage_bytes) | (storage_bytes < variant.least_storage_bytes)),
        (State.NO_LATENCY, heat.longest(variant.latency_s) > variant.most_latency_s),
    ]
    found = np.full(len(memory_bytes), State.UPDATED.code)
    for state, applies in reversed(reasons):
        found[applies] = state.code
    return found
