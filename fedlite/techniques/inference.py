"""Techniques that change how a shipped model is asked: how far an input goes, or where."""

from __future__ import annotations

from typing import Final

from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.ordered import Ordered
from fedlite.delivery.ask_server import AskServer
from fedlite.delivery.channel_gating import ChannelGating
from fedlite.delivery.early_exit import EarlyExit
from fedlite.delivery.slimmable_width import SlimmableWidth
from fedlite.techniques.technique import COMPUTE, DEVICE, SERVER, STORED, Example, Technique


def early_exit(agreement: float = 0.99, *, fit: bool = True) -> Plan:
    """Let an inference end at the first exit that is sure enough; a net with exits is wanted."""
    return Plan("early-exit", deliveries=(EarlyExit(((0.0, agreement),), fit=fit),))


def channel_gating(keep: float = 0.5, cells: int = 2, layers: tuple[str, ...] = ()) -> Plan:
    """Compute of each convolution the channels that a small gate expects most of, input by input."""
    return Plan("channel-gating", deliveries=(ChannelGating(keep, cells, layers),))


def battery_exits(
    charge: float = 0.15,
    full: float = 0.99,
    half: float = 0.96,
    low: float = 0.9,
    half_from: float = 0.5,
    low_from: float = 0.2,
    *,
    fit: bool = True,
) -> Plan:
    """Let inferences end earlier as the battery empties; shown at one charge, told for all states."""
    states = ((half_from, full), (low_from, half), (0.0, low))
    return Plan("battery-exits", deliveries=(EarlyExit(states, charge, fit),))


def battery_width(
    charge: float = 0.15,
    shares: tuple[float, ...] = (0.5, 0.75, 1.0),
    from_charges: tuple[float, ...] = (0.5, 0.2, 0.0),
    distillation: float = 1.0,
) -> Plan:
    """Compute a narrower width of one stored net as the battery empties; shown at one charge, told for all states."""
    if len(shares) != len(from_charges):
        raise PartError(
            f"from_charges: got {len(from_charges)} for {len(shares)} shares, expected one for each, that of the widest"
            " first; write for example 0.5,0.2,0"
        )
    states = tuple(zip(from_charges, reversed(shares), strict=True))
    return Plan("battery-width", Ordered(shares, distillation), deliveries=(SlimmableWidth(states, charge),))


def cloud_break_even(server_ms: float = 5.0, codec: str = "fp16+zstd", at_once: int = 1, offline: float = 0.05) -> Plan:
    """Ask a server instead of the device, and tell where both are equal: in time, joules, bytes, round trip."""
    asks = AskServer(server_ms, tuple(codec.split("+")), at_once, offline)
    return Plan("cloud-break-even", deliveries=(asks,))


TECHNIQUES: Final = (
    Technique(
        "channel-gating", "inference", (3,), (COMPUTE,), (DEVICE,), ("gao2019dynamic",), channel_gating,
        Example(device="nucleo-h7a3zi"),
    ),
    Technique(
        "early-exit", "inference", (3, 29), (COMPUTE,), (DEVICE,), ("teerapittayanon2016branchynet",), early_exit,
        Example(model="cnn-exits"),
    ),
    Technique(
        "battery-exits", "inference", (29,), (COMPUTE,), (DEVICE,), ("teerapittayanon2016branchynet",), battery_exits,
        Example(model="cnn-exits", device="pixel-4"),
    ),
    Technique(
        "battery-width", "inference", (29,), (COMPUTE,), (DEVICE,), ("yu2019slimmable", "horvath2021fjord"),
        battery_width, Example(device="nrf52840"),
    ),
    Technique(
        "cloud-break-even", "inference", (31,), (STORED,), (DEVICE, SERVER), ("kang2017neurosurgeon",),
        cloud_break_even,
    ),
)  # fmt: skip
