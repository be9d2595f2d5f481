"""The catalogue of techniques, by family: each names parts that exist and says what they truly save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.errors import UnknownNameError
from fedlite.techniques import (
    architectures,
    automatic,
    choosing,
    distillation,
    inference,
    low_precision,
    low_rank,
    nets,
    on_the_wire,
    pruning,
    sharing,
    submodels,
)

if TYPE_CHECKING:
    from fedlite.techniques.technique import Technique


_FAMILIES: Final = (
    pruning,
    low_precision,
    low_rank,
    sharing,
    nets,
    on_the_wire,
    distillation,
    submodels,
    architectures,
    choosing,
    inference,
    automatic,
)

TECHNIQUES: Final[dict[str, Technique]] = {one.name: one for family in _FAMILIES for one in family.TECHNIQUES}
"""Name -> technique, family by family."""


def technique(name: str) -> Technique:
    """Return the technique of a name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in TECHNIQUES:
        raise UnknownNameError("technique", name, list(TECHNIQUES))
    return TECHNIQUES[name]
