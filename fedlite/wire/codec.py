"""The codec of a link, written as stages: ("topk:0.1", "int8", "zstd"). The three tables of stages are here.

A codec has at most one sparsifier, at most one number format (fp32 if none is named) and at most one lossless stage, in
that order. A new stage is one small file in `formats/`, `sparsifiers/` or `lossless/` and one line in a table below, or
a file anywhere, named as `pkg.mod:Name`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from fedlite.wire import own_stage
from fedlite.wire.errors import CodecError
from fedlite.wire.formats.bf16 import Bf16
from fedlite.wire.formats.eden import Eden
from fedlite.wire.formats.fp16 import Fp16
from fedlite.wire.formats.fp32 import Fp32
from fedlite.wire.formats.kmeans import KMeans
from fedlite.wire.formats.low_rank import LowRank
from fedlite.wire.formats.rtn import Rtn
from fedlite.wire.formats.sign import Sign
from fedlite.wire.formats.stochastic_int import StochasticInt
from fedlite.wire.lossless.range import Range
from fedlite.wire.lossless.zstd import Zstd
from fedlite.wire.sparsifiers.base import Seeded
from fedlite.wire.sparsifiers.nonzero import Nonzero
from fedlite.wire.sparsifiers.randk import RandK
from fedlite.wire.sparsifiers.threshold import Threshold
from fedlite.wire.sparsifiers.topk import TopK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fedlite.wire.formats.base import NumberFormat
    from fedlite.wire.lossless.base import Lossless
    from fedlite.wire.sparsifiers.base import Sparsifier

MOST_TEXT_BYTES: Final = 256
"""The longest codec text, which every packet carries."""


def _plain(made: NumberFormat, argument: str | None) -> NumberFormat:
    if argument is not None:
        raise CodecError(f"{made.text}: got an argument {argument!r}, expected none; write '{made.text}'")
    return made


SPARSIFIERS: Final[dict[str, Callable[[str | None], Sparsifier]]] = {
    "topk": TopK.parse,
    "nonzero": Nonzero.parse,
    "randk": RandK.parse,
    "threshold": Threshold.parse,
}
"""Name -> parser of the text after the colon (None if there is no colon)."""

FORMATS: Final[dict[str, Callable[[str | None], NumberFormat]]] = {
    "fp32": partial(_plain, Fp32()),
    "fp16": partial(_plain, Fp16()),
    "bf16": partial(_plain, Bf16()),
    "int8": partial(StochasticInt.parse, 8),
    "int4": partial(StochasticInt.parse, 4),
    "int2": partial(StochasticInt.parse, 2),
    "rtn8": partial(Rtn.parse, 8),
    "rtn4": partial(Rtn.parse, 4),
    "rtn2": partial(Rtn.parse, 2),
    "sign": partial(_plain, Sign()),
    "kmeans": KMeans.parse,
    "lowrank": LowRank.parse,
    "drive": Eden.parse_drive,
    "eden": Eden.parse,
}
"""Name -> parser of the text after the colon."""

LOSSLESS: Final[dict[str, Callable[[str | None], Lossless]]] = {
    "zstd": Zstd.parse,
    "range": Range.parse,
}
"""Name -> parser of the text after the colon."""

_TABLES: Final[tuple[tuple[str, Mapping[str, Callable[[str | None], Any]]], ...]] = (
    ("sparsifier", SPARSIFIERS),
    ("number format", FORMATS),
    ("lossless stage", LOSSLESS),
)


@dataclass(frozen=True)
class Codec:
    """A validated codec. Make one with `parse_codec`.

    Attributes
    ----------
    stages : tuple of str
        The stages as people write them, the number format always named. They alone make two codecs equal.
    """

    stages: tuple[str, ...]
    sparsifier: Sparsifier | None = field(compare=False)
    number: NumberFormat = field(compare=False)
    lossless: Lossless | None = field(compare=False)

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
        return self.number.stochastic or isinstance(self.sparsifier, Seeded)

    @property
    def elementwise(self) -> bool:
        """Whether the floats of many packets may be encoded and decoded as if they were those of one."""
        alone = self.sparsifier is None and self.lossless is None
        return alone and bool(getattr(self.number, "elementwise", False))

    @property
    def linear(self) -> bool:
        """Whether sums of what it sends are what it sends of sums; a number format that does not say is not."""
        alone = self.sparsifier is None and self.lossless is None
        return alone and bool(getattr(self.number, "linear", False))

    @property
    def lengthens(self) -> bool:
        """Whether an update may come out with a larger 2-norm; a number format that does not say is taken to do so."""
        return bool(getattr(self.number, "lengthens", True)) or isinstance(self.sparsifier, Seeded)

    @property
    def only_for_updates(self) -> str | None:
        """The first stage that leaves too little of a whole model, or None; a stage that does not say is one."""
        parts = [part for part in (self.sparsifier, self.number) if part is not None]
        poor = (name for name, part in zip(self.stages, parts, strict=False) if not _carries_model(part))
        return next(poor, None)


def parse_codec(texts: Sequence[str] | Codec) -> Codec:
    """Return the codec written as stages.

    Parameters
    ----------
    texts : sequence of str
        Such as ("fp16",), ("int8", "zstd") or ("topk:0.1", "int4:64", "zstd"). `pkg.mod:Name` is imported and called,
        `pkg.mod:Name:argument` with the text after the second colon. A `Codec` is returned as it is.

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


def _carries_model(part: object) -> bool:
    return bool(getattr(part, "carries_model", False))


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


def known_codec(text: str) -> Codec:
    """Return the codec that a packet names, without importing anything.

    Raises
    ------
    FedliteError
        If it is malformed, or has a stage that is neither in a table nor was asked for in this process before.
    """
    return _built(tuple(text.split("+")), own_stage.known)


@lru_cache(maxsize=512)
def _parse(texts: tuple[str, ...]) -> Codec:
    return _built(texts, own_stage.imported)


def _built(texts: tuple[str, ...], own: Callable[[str], own_stage.Made]) -> Codec:
    if not texts:
        raise CodecError("codec: got no stage, expected at least one; write ['fp32'] to send float32 as it is")
    chosen: dict[str, str] = {}
    made: dict[str, tuple[str, Any]] = {}
    for text in texts:
        kind, name, stage = _made(text, own)
        if kind in chosen:
            raise CodecError(
                f"codec: got the {kind}s {chosen[kind]!r} and {text!r}, expected at most one; leave one out"
            )
        chosen[kind], made[kind] = text, (name, stage)
    right = [kind for kind, _ in _TABLES if kind in chosen]
    if list(chosen) != right:
        raise CodecError(
            f"codec: got the order {', '.join(texts)}, expected sparsifier, number format, lossless stage; "
            f"write [{', '.join(chosen[kind] for kind in right)}]"
        )
    made.setdefault("number format", ("fp32", Fp32()))
    if "sparsifier" in made and getattr(made["number format"][1], "needs_shapes", False):
        raise CodecError(
            f"codec: got {chosen['sparsifier']!r} before {chosen['number format']!r}, which is made for whole tensors; "
            "leave one out"
        )
    codec = Codec(
        tuple(made[kind][0] for kind, _ in _TABLES if kind in made),
        made.get("sparsifier", (None, None))[1],
        made["number format"][1],
        made.get("lossless stage", (None, None))[1],
    )
    if len(codec.text) > MOST_TEXT_BYTES:
        raise CodecError(
            f"codec: got {len(codec.text)} characters, expected at most {MOST_TEXT_BYTES}, which every packet carries; "
            "shorten the names of your stages"
        )
    return codec


def _made(text: str, own: Callable[[str], own_stage.Made]) -> tuple[str, str, Any]:
    """Return kind, name and stage. The tables go first: a module called as one of them cannot be referred to."""
    name, colon, argument = str(text).partition(":")
    for kind, table in _TABLES:
        if name in table:
            stage = table[name](argument if colon else None)
            return kind, stage.text, stage
    if own_stage.is_reference(str(text)):
        return own(text)[0], text, own(text)[1]
    known = "; ".join(f"{kind}s: {', '.join(table)}" for kind, table in _TABLES)
    raise CodecError(f"codec: got the stage {text!r}, expected one of {known}; or write your own as 'pkg.mod:Name'")
