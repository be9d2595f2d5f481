"""What the hooks of a constraint return: as many tensors or masks as there are parameters, each of its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import UnionType

    from fedlite.compression.constraint.base import Constraint
    from fedlite.compression.overlap import Shape


def check_tensors(constraint: Constraint, hook: str, found: object, wanted: Sequence[Shape]) -> None:
    """Raise PartError unless a hook returned one tensor for each parameter, of the shapes wanted."""
    _check(f"constraint {constraint.name!r}: {hook}", _forms(found, Tensor), wanted, "a tensor")


def check_masks(constraint: Constraint, found: object, wanted: Sequence[Shape]) -> None:
    """Raise PartError unless `held` returned None, or for each parameter None or an array of its shape."""
    if found is None:
        return
    forms = _forms(found, np.ndarray | np.generic)
    if isinstance(forms, list) and len(forms) == len(wanted):
        forms = [shape if form == "NoneType" else form for form, shape in zip(forms, wanted, strict=True)]
    _check(f"constraint {constraint.name!r}: held", forms, wanted, "None or an array")


def _forms(found: Any, kind: type | UnionType) -> list[Any] | str:
    """Return the shape of each item, or the name of its type if it is of another kind; or that of the whole."""
    if not isinstance(found, list | tuple):
        return type(found).__name__
    return [_form(item) if isinstance(item, kind) else type(item).__name__ for item in found]


def _form(item: Any) -> Shape:
    return tuple(item.shape)


def _check(where: str, got: list[Any] | str, wanted: Sequence[Shape], what: str) -> None:
    if isinstance(got, str) or len(got) != len(wanted):
        said = got if isinstance(got, str) else f"{len(got)} entries"
        raise PartError(f"{where}: got {said}, expected {what} for each of {len(wanted)} parameters; return them all")
    for place, (form, shape) in enumerate(zip(got, wanted, strict=True)):
        if form != tuple(shape):
            raise PartError(
                f"{where}: got {form} for parameter {place}, expected {what} of shape {tuple(shape)}; keep the shape"
            )
