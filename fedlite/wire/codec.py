"""The codec of a link, written as stages: ("topk:0.1", "int8", "zstd"). The three tables of stages are here.

A codec has at most one sparsifier, at most one number format (fp32 if none is named) and at most one lossless stage, in
that order. A new stage is one small file in `formats/`, `sparsifiers/` or `lossless/` and one line in a table below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeVar

from fedlite.wire.errors import CodecError
from fedlite.wire.formats.bf16 import Bf16
from fedlite.wire.formats.fp16 import Fp16
from fedlite.wire.formats.fp32 import Fp32
from fedlite.wire.formats.sign import Sign
from fedlite.wire.formats.stochastic_int import StochasticInt
from fedlite.wire.lossless.zstd import Zstd
from fedlite.wire.sparsifiers.nonzero import Nonzero
from fedlite.wire.sparsifiers.topk import TopK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fedlite.wire.formats.base import NumberFormat
    from fedlite.wire.lossless.base import Lossless
    from fedlite.wire.sparsifiers.base import Sparsifier

_Stage = TypeVar("_Stage")


def _plain(made: NumberFormat, argument: str | None) -> NumberFormat:
    if argument is not None:
        raise CodecError(f"{made.text}: got an argument {argument!r}, expected none; write '{made.text}'")
    return made


SPARSIFIERS: Final[dict[str, Callable[[str | None], Sparsifier]]] = {
    "topk": TopK.parse,
    "nonzero": Nonzero.parse,
}
"""Name -> parser of the text after the colon (None if there is no colon)."""

FORMATS: Final[dict[str, Callable[[str | None], NumberFormat]]] = {
    "fp32": partial(_plain, Fp32()),
    "fp16": partial(_plain, Fp16()),
    "bf16": partial(_plain, Bf16()),
    "int8": partial(StochasticInt.parse, 8),
    "int4": partial(StochasticInt.parse, 4),
    "int2": partial(StochasticInt.parse, 2),
    "sign": partial(_plain, Sign()),
}
"""Name -> parser of the text after the colon."""

LOSSLESS: Final[dict[str, Callable[[str | None], Lossless]]] = {
    "zstd": Zstd.parse,
}
"""Name -> parser of the text after the colon."""

_TABLES: Final[tuple[tuple[str, Mapping[str, object]], ...]] = (
    ("sparsifier", SPARSIFIERS),
    ("number format", FORMATS),
    ("lossless stage", LOSSLESS),
)


@dataclass(frozen=True)
class Codec:
    """A validated codec. Make one with `parse_codec`."""

    sparsifier: Sparsifier | None
    number: NumberFormat
    lossless: Lossless | None

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages as people write them, the number format always named."""
        parts = (self.sparsifier, self.number, self.lossless)
        return tuple(part.text for part in parts if part is not None)

    @property
    def text(self) -> str:
        """The stages in one word, such as "topk:0.1+int8+zstd"."""
        return "+".join(self.stages)

    @property
    def sends_update(self) -> bool:
        """Whether the difference to the received model is sent rather than the weights."""
        return self.number.carries_update or (self.sparsifier is not None and self.sparsifier.carries_update)

    @property
    def stochastic(self) -> bool:
        """Whether encoding draws random numbers."""
        return self.number.stochastic

    @property
    def lengthens(self) -> bool:
        """Whether an update may come out with a larger 2-norm; a number format that does not say is taken to do so."""
        return bool(getattr(self.number, "lengthens", True))

    @property
    def only_for_updates(self) -> str | None:
        """The first stage that leaves too little of a whole model, or None; a stage that does not say is one."""
        for part in (self.sparsifier, self.number):
            if part is not None and not getattr(part, "carries_model", False):
                return part.text
        return None


def parse_codec(texts: Sequence[str] | Codec) -> Codec:
    """Return the codec written as stages.

    Parameters
    ----------
    texts : sequence of str
        Such as ("fp16",), ("int8", "zstd") or ("topk:0.1", "int4:64", "zstd"). A `Codec` is returned as it is.

    Raises
    ------
    CodecError
        If a stage is unknown, doubled, out of order or has a wrong argument.
    """
    if isinstance(texts, Codec):
        return texts
    if isinstance(texts, str):
        raise CodecError(
            f"codec: got the text {texts!r}, expected a list of stages; write [{', '.join(texts.split('+'))}]"
        )
    return _parse(tuple(texts))


def sends_update(codec: Sequence[str] | Codec) -> bool:
    """Return whether a codec carries the difference to the received model (True) or the weights (fp32 and fp16)."""
    return parse_codec(codec).sends_update


def check_downlink(codec: Sequence[str] | Codec) -> Codec:
    """Return a codec that may carry a whole model from the server.

    A device can join at any round, so the server sends weights and not differences: a stage that zeroes most of them or
    keeps only their signs would leave no model. Each stage says by `carries_model` whether it is one of those.

    Raises
    ------
    CodecError
        If a stage does not carry a whole model, such as topk, sign and int2.
    """
    checked = parse_codec(codec)
    if (bad := checked.only_for_updates) is not None:
        raise CodecError(
            f"downlink: got {bad!r}, which is made for updates, but the server sends a whole model; "
            "use fp32, fp16, bf16 or int8 on the downlink, and this stage on the uplink"
        )
    return checked


def check_error_feedback(codec: Sequence[str] | Codec) -> Codec:
    """Return a codec that error feedback can help: one that sends a lossy update.

    Raises
    ------
    CodecError
        If the codec carries weights (fp32, fp16), so that there is no error to feed back.
    """
    checked = parse_codec(codec)
    if not checked.sends_update:
        raise CodecError(
            f"error_feedback: got the uplink {checked.text}, which carries the weights themselves, expected one that "
            "sends a lossy update; use for example ['topk:0.1'] or ['sign'], or leave error_feedback off"
        )
    return checked


@lru_cache(maxsize=512)
def _parse(texts: tuple[str, ...]) -> Codec:
    if not texts:
        raise CodecError("codec: got no stage, expected at least one; write ['fp32'] to send float32 as it is")
    chosen: dict[str, str] = {}
    order = []
    for text in texts:
        kind = _kind(text)
        if kind in chosen:
            raise CodecError(
                f"codec: got the {kind}s {chosen[kind]!r} and {text!r}, expected at most one; leave one out"
            )
        chosen[kind] = text
        order.append(kind)
    kinds = [kind for kind, _ in _TABLES]
    right = sorted(order, key=kinds.index)
    if order != right:
        raise CodecError(
            f"codec: got the order {', '.join(texts)}, expected sparsifier, number format, lossless stage; "
            f"write [{', '.join(chosen[kind] for kind in right)}]"
        )
    return Codec(
        _made(SPARSIFIERS, chosen.get("sparsifier")),
        _made(FORMATS, chosen.get("number format", "fp32")) or Fp32(),
        _made(LOSSLESS, chosen.get("lossless stage")),
    )


def _kind(text: str) -> str:
    name = str(text).split(":", 1)[0]
    for kind, table in _TABLES:
        if name in table:
            return kind
    known = "; ".join(f"{kind}s: {', '.join(table)}" for kind, table in _TABLES)
    raise CodecError(f"codec: got the stage {text!r}, expected one of {known}")


def _made(table: Mapping[str, Callable[[str | None], _Stage]], text: str | None) -> _Stage | None:
    if text is None:
        return None
    name, colon, argument = text.partition(":")
    return table[name](argument if colon else None)
