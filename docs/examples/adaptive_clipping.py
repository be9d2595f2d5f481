"""Flower's adaptive clipping and the rule it is taken from, on the same updates: they move the norm opposite ways.

The norms of 100 clients' updates are log-normal with median 1. Andrew et al. 2021 move the clipping norm to the target
quantile of those norms, here the median. There is no noise, so that nothing else moves.
"""

import math

import numpy as np
from flwr.serverapp.strategy import DifferentialPrivacyServerSideAdaptiveClipping, FedAvg
from flwr.supercore.differential_privacy import adaptive_clip_inputs_inplace

ROUNDS, CLIENTS, TARGET, RATE = 60, 100, 0.5, 0.2


def follow(start: float, *, inverted: bool) -> float:
    """Return the clipping norm after all rounds; `inverted` turns the bit that Flower counts round."""
    draws = np.random.Generator(np.random.Philox(key=7))
    wrapper = DifferentialPrivacyServerSideAdaptiveClipping(
        FedAvg(),
        noise_multiplier=0.0,
        num_sampled_clients=CLIENTS,
        initial_clipping_norm=start,
        target_clipped_quantile=TARGET,
        clip_norm_lr=RATE,
    )
    for _ in range(ROUNDS):
        norms = np.exp(draws.normal(size=CLIENTS))
        bits = [adaptive_clip_inputs_inplace([np.array([norm])], wrapper.clipping_norm) for norm in norms]
        fraction = sum(bit != inverted for bit in bits) / CLIENTS
        wrapper._geometric_update(fraction)  # noqa: SLF001 -- the line in question
    return wrapper.clipping_norm


print(f"{'start':>8}{'Flower':>12}{'bit inverted':>16}")
for begin in (0.1, 0.9, 1.1, 10.0):
    as_is, turned = follow(begin, inverted=False), follow(begin, inverted=True)
    print(f"{begin:>8g}{as_is:>12.3g}{turned:>16.3g}")
print(f"the median of the norms is {math.exp(0):g}")
