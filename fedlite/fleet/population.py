"""The facts of every device that never change during a run, as a struct of arrays.

A million devices are a few dozen megabytes: everything that devices of one profile share stays in a small table that is
gathered through `profile_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices import network
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.profile import DeviceProfile

NO_LINK = -1


@dataclass(frozen=True)
class Link:
    """One network connection of each of N devices. All arrays have shape (N,).

    `access_of` indexes `accesses`; `NO_LINK` marks devices without this connection. Rates are the device's own means.
    """

    accesses: tuple[str, ...]
    access_of: NDArray[np.int8]
    down_bps: NDArray[np.float32]
    up_bps: NDArray[np.float32]
    rtt_s: NDArray[np.float32]


@dataclass(frozen=True)
class Population:
    """N devices: which profile each has (`profile_of`, int16) and the links it was dealt.

    `home` is used where the device has its preferred network (Wi-Fi, or the only radio of an IoT node), `away`
    elsewhere (a phone's mobile network).
    """

    profiles: tuple[DeviceProfile, ...]
    profile_of: NDArray[np.int16]
    home: Link
    away: Link

    def __len__(self) -> int:
        return len(self.profile_of)


def draw(
    profiles: Sequence[DeviceProfile],
    shares: Sequence[float],
    n_devices: int,
    seed: int,
    access: str | None = None,
    region: str | None = None,
) -> Population:
    """Deal `n_devices` over the profiles in proportion to `shares` and draw each device's links.

    The counts follow the shares exactly (largest remainders) and only who is what is random, so a fleet of 20 holds
    every profile whose share is at least 1 in 20. `access` overrides the preferred link of every profile, `region`
    names a country whose fixed lines set the speed of Wi-Fi.
    """
    counts = _largest_remainders(np.asarray(shares, dtype=np.float64), n_devices)
    profile_of = np.repeat(np.arange(len(profiles), dtype=np.int16), counts)
    stream(seed, "population").shuffle(profile_of)
    home = [access or profile.radios[0] for profile in profiles]
    away = [
        next((radio for radio in profile.radios[1:] if network.ACCESS[radio].metered), None) for profile in profiles
    ]
    return Population(
        tuple(profiles),
        profile_of,
        _deal_links(home, profile_of, seed, region),
        _deal_links([None] * len(profiles) if access else away, profile_of, seed, region),
    )


def _deal_links(
    access_of_profile: Sequence[str | None], profile_of: NDArray[np.int16], seed: int, region: str | None
) -> Link:
    accesses = tuple(sorted({name for name in access_of_profile if name is not None}))
    index = [NO_LINK if name is None else accesses.index(name) for name in access_of_profile]
    access_of = np.asarray(index, dtype=np.int8)[profile_of]
    down, up, rtt = (np.zeros(len(profile_of), dtype=np.float32) for _ in range(3))
    for position, name in enumerate(accesses):
        devices = np.flatnonzero(access_of == position)
        rates = network.draw(name, seed, devices, region=region)
        down[devices], up[devices], rtt[devices] = rates.down_bps, rates.up_bps, rates.rtt_s
    return Link(accesses, access_of, down, up, rtt)


def _largest_remainders(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return np.asarray(counts)
