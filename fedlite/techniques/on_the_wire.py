"""Techniques that change what crosses the wire and nothing else."""

from __future__ import annotations

from typing import Final

from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.plan import Plan
from fedlite.techniques.technique import DOWNLINK, UPLINK, WIRE, Technique


def top_k(share: float = 0.1, numbers: str = "int8", *, feedback: bool = True) -> Plan:
    """Send the largest part of an update; what is left out is kept and added to the next."""
    stages = (ErrorFeedback(),) if feedback else ()
    return Plan("top-k", stages=stages, up=(f"topk:{share:g}", numbers, "zstd"))


def half_precision(*, both: bool = True) -> Plan:
    """Send 16 bits a value, up and down."""
    return Plan("half-precision", up=("fp16",), down=("fp16",) if both else ("fp32",))


TECHNIQUES: Final = (
    Technique("top-k", "wire", (15,), (WIRE,), (UPLINK,), ("stich2018sparsified", "karimireddy2019error"), top_k),
    Technique("half-precision", "wire", (15,), (WIRE,), (UPLINK, DOWNLINK), ("paszke2019pytorch",), half_precision),
)
