"""The `wire` section: how arrays are encoded on their way down and up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from fedlite.errors import FedliteError
from fedlite.scenario import names, spelling
from fedlite.scenario.base import Section, unknown
from fedlite.scenario.quantities import Means

if TYPE_CHECKING:
    from collections.abc import Callable


def _split(value: Any) -> Any:
    """Text is a chain with plus signs: "int8+zstd"."""
    return [stage.strip() for stage in value.split("+")] if isinstance(value, str) else value


def _check_stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    from fedlite.wire import FORMATS, LOSSLESS, SPARSIFIERS
    from fedlite.wire.own_stage import is_reference

    known = [*SPARSIFIERS, *FORMATS, *LOSSLESS]
    for stage in stages:
        if stage.partition(":")[0] not in known and not is_reference(stage):
            raise unknown("a codec stage", stage, known)
    return stages


def _check(stages: tuple[str, ...]) -> tuple[str, ...]:
    from fedlite.wire import parse_codec

    return _translated(parse_codec, stages)


def _check_down(stages: tuple[str, ...]) -> tuple[str, ...]:
    from fedlite.wire import check_downlink

    return _translated(check_downlink, stages)


def _translated(check: Callable[[tuple[str, ...]], object], stages: tuple[str, ...]) -> tuple[str, ...]:
    try:
        check(stages)
    except FedliteError as error:
        raise names.remade(error) from None
    return stages


_STAGES = (Field(strict=False, min_length=1), BeforeValidator(_split))

Codec = Annotated[
    tuple[str, ...],
    names.after(_check_stages),
    names.after(_check),
    *_STAGES,
    Means("codec, such as `fp16` or `topk:0.1+int8+zstd`, or a list of its stages", lambda: spelling.CHAIN),
]
DownCodec = Annotated[
    tuple[str, ...],
    names.after(_check_stages),
    names.after(_check_down),
    *_STAGES,
    Means("codec for whole models, such as `fp16` or `int8+zstd`", lambda: spelling.CHAIN),
]


def _expand_delta(value: Any) -> Any:
    if isinstance(value, bool):
        return [_EXACT] if value else []
    return _split(value)


def _check_delta(stages: tuple[str, ...]) -> tuple[str, ...]:
    return stages if stages in ((), (_EXACT,)) else _check(_check_stages(stages))


_EXACT = "exact"

Delta = Annotated[
    tuple[str, ...],
    names.after(_check_delta),
    Field(strict=False),
    BeforeValidator(_expand_delta),
    Means(
        "`true` or `exact`: the exact difference; or a codec for the difference; `false`: always the whole model",
        lambda: spelling.any_of({"type": "boolean"}, spelling.TEXT, {"type": "array", "items": spelling.TEXT}),
    ),
]


class Wire(Section):
    """How arrays are encoded. Bytes charged are the length of what was really encoded."""

    up: Codec = ("fp32",)
    """From the devices."""
    down: DownCodec = ("fp32",)
    """To the devices."""
    error_feedback: bool = False
    """Devices keep what a lossy `up` codec lost and add it to their next update."""
    delta: Delta = ()
    """Send a device that holds an earlier version of the model the difference to that."""
    versions: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Versions that the server keeps for that; devices that hold an older one get the whole model."""
