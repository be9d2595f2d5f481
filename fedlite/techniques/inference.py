"""Techniques that change how a shipped model is asked: how far an input goes, or where."""

from __future__ import annotations

from typing import Final

from fedlite.compression.plan import Plan
from fedlite.delivery.ask_server import AskServer
from fedlite.techniques.technique import DEVICE, SERVER, STORED, Technique


def cloud_break_even(server_ms: float = 5.0, codec: str = "fp16+zstd", at_once: int = 1, offline: float = 0.05) -> Plan:
    """Ask a server instead of the device, and tell where both are equal: in time, joules, bytes, round trip."""
    asks = AskServer(server_ms, tuple(codec.split("+")), at_once, offline)
    return Plan("cloud-break-even", deliveries=(asks,))


TECHNIQUES: Final = (
    Technique(
        "cloud-break-even", "inference", (31,), (STORED,), (DEVICE, SERVER), ("kang2017neurosurgeon",),
        cloud_break_even,
    ),
)  # fmt: skip
