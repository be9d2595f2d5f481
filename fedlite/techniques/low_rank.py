"""Techniques that write matrices as products of thin ones."""

from __future__ import annotations

from typing import Final

from fedlite.client.stages.power_sgd import PowerSgd
from fedlite.compression.plan import Plan
from fedlite.compression.structure.low_rank import LowRank
from fedlite.learning.models.layers.fedpara import FedPara
from fedlite.learning.models.layers.lora import Lora
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Recipe,
    Technique,
)

_EVERYWHERE: Final = (DEVICE, UPLINK, DOWNLINK)


def low_rank(share: float = 0.25) -> Plan:
    """Train and ship layers as two thin ones, which begin as the nearest product to the server's."""
    return Plan("low-rank", LowRank(share))


def fedpara(share: float = 0.1) -> Recipe:
    """Train layers as products, entry by entry, of two low-rank matrices: full rank from few numbers."""
    return Recipe(Plan("fedpara"), layers=FedPara(share))


def lora(rank: int = 4, alpha: float = 8.0, targets: tuple[str, ...] = ("query", "value")) -> Recipe:
    """Train low-rank adapters beside a trained net that stays as it is: they alone are sent and stored."""
    return Recipe(Plan("lora"), layers=Lora(rank, alpha, targets), on_trained=True)


def power_sgd(rank: int = 2) -> Plan:
    """Send updates as low-rank factors found by a power iteration that goes on where the last one ended."""
    return Plan("power-sgd", stages=(PowerSgd(rank),), up=(f"lowrank:{rank}",))


TECHNIQUES: Final = (
    Technique(
        "low-rank", "low rank", (22,), (STORED, WIRE, COMPUTE, MEMORY), _EVERYWHERE,
        ("zhang2016accelerating", "denil2013predicting"), low_rank,
        Example(dataset="fashion-mnist", device="nucleo-h7a3zi"),
    ),
    Technique("fedpara", "low rank", (22,), (STORED, WIRE), _EVERYWHERE, ("hyeonwoo2022fedpara",), fedpara),
    Technique(
        "lora", "low rank", (22,), (STORED, WIRE), _EVERYWHERE, ("hu2022lora",), lora,
        Example(model="char-transformer", dataset="shakespeare"),
    ),
    Technique("power-sgd", "low rank", (22,), (WIRE,), (UPLINK,), ("vogels2019powersgd",), power_sgd),
)  # fmt: skip
