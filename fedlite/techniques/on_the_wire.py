"""Techniques that change what crosses the wire and nothing else."""

from __future__ import annotations

from typing import Final

from fedlite.client.downlink import EXACT
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.techniques.technique import DOWNLINK, UPLINK, WIRE, Technique
from fedlite.wire import CodecError, parse_codec


def top_k(share: float = 0.1, numbers: str = "int8", *, feedback: bool = True) -> Plan:
    """Send the largest part of an update; what is left out is kept and added to the next."""
    stages = (ErrorFeedback(),) if feedback else ()
    return Plan("top-k", stages=stages, up=(f"topk:{share:g}", numbers, "zstd"))


def random_k(share: float = 0.25, numbers: str = "fp16") -> Plan:
    """Send a drawn part of an update, scaled so that it is right on average; positions follow from a seed."""
    return Plan("random-k", up=(f"randk:{share:g}", numbers))


def threshold(deviations: float = 2.0, numbers: str = "fp16", *, feedback: bool = True) -> Plan:
    """Send what lies beyond so many standard deviations."""
    stages = (ErrorFeedback(),) if feedback else ()
    return Plan("threshold", stages=stages, up=(f"threshold:{deviations:g}", numbers))


def half_precision(*, both: bool = True) -> Plan:
    """Send 16 bits a value, up and down."""
    return Plan("half-precision", up=("fp16",), down=("fp16",) if both else ("fp32",))


def few_bits(bits: int = 4, entropy: str = "range") -> Plan:
    """Send updates as integers of 8, 4 or 2 bits, rounded at random, through an entropy coder; the model at 8 bits."""
    return Plan("few-bits", up=(f"int{bits}", entropy), down=("rtn8", entropy))


def one_bit(scheme: str = "drive") -> Plan:
    """Send the signs of a rotated update, and one scale."""
    return Plan("one-bit", up=(scheme,))


def sign(*, feedback: bool = True) -> Plan:
    """Send the signs of an update times its mean magnitude; what that misses is added to the next."""
    return Plan("sign", stages=(ErrorFeedback(),) if feedback else (), up=("sign",))


def codebooks(clusters: int = 16) -> Plan:
    """Send a codebook and entropy-coded indices of every tensor, up and down."""
    return Plan("codebooks", up=(f"kmeans:{clusters}", "range"), down=(f"kmeans:{clusters}", "range"))


def delta_downlink(delta: str = "exact", down: str = "fp16") -> Plan:
    """Send a device that holds an earlier version of the model the difference to it, not the whole model again."""
    stages = tuple(delta.split("+"))
    try:
        if stages != EXACT:
            parse_codec(stages)
    except CodecError as error:
        raise PartError(f"delta: {error}") from error
    return Plan("delta-downlink", down=tuple(down.split("+")), delta=stages)


def _wire(
    name: str, where: tuple[str, ...], cites: tuple[str, ...], make: object, rows: tuple[int, ...] = (15,)
) -> Technique:
    return Technique(name, "wire", rows, (WIRE,), where, cites, make)  # type: ignore[arg-type]


_BOTH: Final = (UPLINK, DOWNLINK)
TECHNIQUES: Final = (
    _wire("top-k", (UPLINK,), ("stich2018sparsified", "karimireddy2019error"), top_k),
    _wire("random-k", (UPLINK,), ("wangni2018gradient",), random_k),
    _wire("threshold", (UPLINK,), ("sahu2021rethinking",), threshold),
    _wire("half-precision", _BOTH, ("paszke2019pytorch",), half_precision),
    _wire("few-bits", _BOTH, ("alistarh2017qsgd", "bamler2022understanding"), few_bits),
    _wire("one-bit", (UPLINK,), ("vargaftik2021drive", "vargaftik2022eden"), one_bit, (15, 16)),
    _wire("sign", (UPLINK,), ("karimireddy2019error",), sign, (15, 16)),
    _wire("codebooks", _BOTH, ("han2016deep",), codebooks, (19,)),
    _wire("delta-downlink", (DOWNLINK,), ("philippenko2021preserved",), delta_downlink, (30,)),
)
