"""What-if worlds: how the new model behaves on each class of devices, which the plan's author does not know yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Behaviour:
    """How a model behaves on each of P profiles. Arrays have shape (P,).

    Attributes
    ----------
    install_failure : ndarray
        Chance that it does not install.
    crashes_per_day : ndarray
        Rate of crashes on a device that runs it.
    accuracy_drop : ndarray
        What it falls short of the accuracy that the variant was measured to have.
    latency_factor : ndarray
        Of the latency and of the energy of an inference.
    crashes_after_s : float
        Crashes begin so long after the install.
    """

    install_failure: Floats
    crashes_per_day: Floats
    accuracy_drop: Floats
    latency_factor: Floats
    crashes_after_s: float = 0.0


@dataclass(frozen=True)
class World:
    """A world: the new model's behaviour, and the profiles on which it is worse than the plan takes it to be."""

    name: str
    new: Behaviour
    bad: Bools

    @property
    def is_bad(self) -> bool:
        """Whether there is anything to detect."""
        return bool(self.bad.any())
