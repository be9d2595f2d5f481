"""A server: how long counted work takes it, and what an hour of it costs. Nothing here looks at a clock.

The default is one rented GPU. Small nets keep a GPU waiting for its next kernel more than they compute, so that the
upper end of the band is wide and assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedlite.devices.estimate import Calibration, Estimate
from fedlite.units import HOUR_S, KWH_J

TRAINING_PASSES: Final = 3.0
"""Multiply-accumulates of a training step over those of its forward pass: the backward pass has twice as many (Sevilla
et al. 2022, "Estimating Training Compute of Deep Learning Models")."""


@dataclass(frozen=True)
class Server:
    """A machine that computes for the fleet.

    Attributes
    ----------
    name : str
    peak_macs_per_s : float
        In float32.
    share : float
        Of the peak that training reaches.
    power_w : float
        While it computes, of the accelerator alone.
    """

    name: str
    peak_macs_per_s: float
    share: float
    power_w: float

    def time(self, macs: float) -> Estimate:
        """Return how long so much work takes, seconds: at best at its peak, at worst at a tenth of the usual share."""
        return Estimate.within(macs / (self.share * self.peak_macs_per_s), self.share, 10.0, Calibration.ASSUMED)

    def energy(self, macs: float) -> Estimate:
        """Return the joules of that."""
        return self.time(macs).scaled(self.power_w)


T4: Final = Server("one NVIDIA T4 (g4dn.xlarge)", 8.1e12 / 2, 0.4, 70.0)
"""Peak of 8.1 TFLOPS in float32 and 70 W: NVIDIA T4 data sheet. 40 % of the peak for other than large language models:
Sevilla et al. 2022. The machine around the accelerator is not in the power."""


@dataclass(frozen=True)
class Prices:
    """What is paid, in US dollars.

    Attributes
    ----------
    server_hour : float
        Of the server, its electricity included. Default: g4dn.xlarge, Linux, on demand, us-east-1 (AWS price list).
    kwh : float
        Of the electricity that devices take. Default: residential, U.S. average of April 2024 (EIA, Electricity Monthly
        Update, June 2024).
    """

    server_hour: float = 0.526
    kwh: float = 0.1688

    def of(self, server_time: Estimate, device_energy: Estimate) -> Estimate:
        """Return the money that both take."""
        rented = server_time.scaled(self.server_hour / HOUR_S)
        return rented + device_energy.scaled(self.kwh / KWH_J)


US_PRICES: Final = Prices()
