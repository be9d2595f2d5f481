"""A codec stage of the user's own, named `pkg.mod:Name` or `pkg.mod:Name:argument`.

The module is imported where a codec is asked for by somebody trusted: in a scenario, a plan or a call. A packet names
its codec too, but whoever made the packet is not trusted: it may only name stages that were asked for here before, each
with its very argument, so that receiving a packet never imports a module and never makes a stage.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fedlite import own_code
from fedlite.errors import FedliteError
from fedlite.wire.errors import CodecError
from fedlite.wire.formats.base import NumberFormat
from fedlite.wire.lossless.base import Lossless
from fedlite.wire.sparsifiers.base import Sparsifier

_NAME: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_REFERENCE: Final = re.compile(rf"({_NAME}):({_NAME})(?::([!-*,-~]*))?", re.ASCII)  # "+" parts the stages of a codec

_KINDS: Final[tuple[tuple[str, type], ...]] = (
    ("sparsifier", Sparsifier),
    ("number format", NumberFormat),
    ("lossless stage", Lossless),
)
_MAY_BE_UNSAID: Final = frozenset({"text", "carries_model", "lengthens", "elementwise"})

Made = tuple[str, Any]
"""Kind of a stage, and the stage."""

_asked_for: dict[str, Made] = {}


def is_reference(text: str) -> bool:
    """Tell whether a stage is written as code of the user's own."""
    return _REFERENCE.fullmatch(text) is not None


def imported(text: str) -> Made:
    """Return the stage that a trusted text names, importing its module the first time.

    Raises
    ------
    CodecError
        If there is no such name, it cannot be called with this argument, or what it returns is no stage.
    """
    if text not in _asked_for:
        stage = _called(text)
        _asked_for[text] = _kind(text, stage), stage
    return _asked_for[text]


def known(text: str) -> Made:
    """Return the stage that a packet names, if this process was asked for the very same before.

    Raises
    ------
    CodecError
        If it was not.
    """
    if text not in _asked_for:
        raise CodecError(
            f"codec: got the stage {text!r} in a packet, expected one that this process uses itself; "
            f"call parse_codec([{text!r}]) first if you trust that code"
        )
    return _asked_for[text]


def _called(text: str) -> Any:
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise CodecError(f"codec: got the stage {text!r}, expected code of your own; write 'pkg.mod:Name'")
    module, name, argument = match.groups()
    try:
        make = own_code.load(f"{module}:{name}")
    except own_code.OwnCodeError as error:
        raise CodecError(
            f"codec: got the stage {text!r}, which cannot be imported ({error}), expected pkg.mod:Name; "
            f"{own_code.REMEDY}"
        ) from error
    try:
        return own_code.call(make, *(() if argument is None else (argument,)))
    except FedliteError as error:
        given = "no argument" if argument is None else f"the argument {argument!r}"
        remedy = "write 'pkg.mod:Name:argument'" if argument is None else "write one that it takes, or none"
        raise CodecError(f"codec: got the stage {text!r}, which refuses {given} ({error}); {remedy}") from error


def _kind(text: str, stage: Any) -> str:
    """Return what a stage is, by what it can do."""
    missing = {kind: [name for name in _members(protocol) if not hasattr(stage, name)] for kind, protocol in _KINDS}
    nearest = min(missing, key=lambda kind: len(missing[kind]))
    if missing[nearest]:
        lacks = ", or a ".join(f"{kind} with {', '.join(names)} too" for kind, names in missing.items())
        raise CodecError(
            f"codec: got the stage {text!r}, which made a {type(stage).__name__}, expected a {lacks}; add it"
        )
    return nearest


def _members(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_") and name not in _MAY_BE_UNSAID]
