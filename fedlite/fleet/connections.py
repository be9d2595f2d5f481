"""The connections of a population as jobs use them: who is on which link, how fast it is now, over which radio.

What names say about them (access types, generations of radios) is looked up once per fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import network
from fedlite.devices.channels import Channels

if TYPE_CHECKING:
    from fedlite.fleet.population import Population

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Links:
    """The link that each of n jobs uses. All arrays have shape (n,).

    `home` tells the preferred link from the other one; `radio_low` and `radio_high` are factors around the energy of
    the link's radio.
    """

    access: NDArray[np.str_]
    metered: Bools
    home: Bools
    radio_low: NDArray[np.float64]
    radio_high: NDArray[np.float64]


@dataclass(frozen=True)
class Connected:
    """n jobs on their links: the rates drawn for them, and which of the `Connections.channels` each uses."""

    links: Links
    rates: network.Rates
    channel_of: Ids


class Connections:
    """The connections of a population.

    Parameters
    ----------
    population : Population
    seed : int
        Names the streams of how rates vary.
    """

    def __init__(self, population: Population, seed: int) -> None:
        self._population = population
        names = (*population.home.accesses, *population.away.accesses)
        self._names = np.array(names, dtype=np.str_)
        self._metered = np.array([network.ACCESS[name].metered for name in names], dtype=np.bool_)
        self._variation = network.Variation(names, seed)
        generations = [profile.radio_generation for profile in population.profiles]
        self.channels = Channels([(name, generation) for name in names for generation in generations])
        """Radios by access type, then by profile."""

    def of(self, devices: Ids, at_home: Bools, job: NDArray[np.int32]) -> Connected:
        """Connect n jobs: on the device's own mean rates, varied by the number of the job on it.

        Parameters
        ----------
        devices : ndarray of int, shape (n,)
        at_home : ndarray of bool, shape (n,)
            Who is on the preferred link; the others have another.
        job : ndarray of int, shape (n,)
        """
        home, away = self._population.home, self._population.away
        of_away = len(home.accesses) + away.access_of[devices].astype(np.int64)
        access_of = np.where(at_home, home.access_of[devices], of_away)
        mean = network.Rates(
            *(
                np.where(at_home, here[devices], there[devices]).astype(np.float64)
                for here, there in (
                    (home.down_bps, away.down_bps),
                    (home.up_bps, away.up_bps),
                    (home.rtt_s, away.rtt_s),
                )
            )
        )
        profile = self._population.profile_of[devices].astype(np.int64)
        channel_of = access_of * len(self._population.profiles) + profile
        low, high = self.channels.band[channel_of].T
        links = Links(self._names[access_of], self._metered[access_of], at_home, low, high)
        return Connected(links, self._variation.of(mean, access_of, devices, job), channel_of)
