"""Importances: which channels matter least. One file each."""

from __future__ import annotations

from typing import Final

from fedlite import own_code
from fedlite.compression.channels.importance.base import Importance
from fedlite.compression.part import PartError
from fedlite.errors import nearest, quoted

IMPORTANCES: Final[dict[str, str]] = {
    "cosine": "fedlite.compression.channels.importance.cosine:Cosine",
    "cosine-spatial": "fedlite.compression.channels.importance.cosine_spatial:CosineSpatial",
    "l1": "fedlite.compression.channels.importance.l1:L1",
    "l2": "fedlite.compression.channels.importance.l2:L2",
    "norm-scale": "fedlite.compression.channels.importance.norm_scale:NormScale",
    "random": "fedlite.compression.channels.importance.random:Random",
    "taylor": "fedlite.compression.channels.importance.taylor:Taylor",
}
"""Name -> `module:Class`."""


def importance_of(name: str) -> Importance:
    """Return the importance of a name, a key of the table or `pkg.mod:Class` of the user's own.

    Raises
    ------
    PartError
        If there is none.
    """
    if name not in IMPORTANCES and ":" not in name:
        near = nearest(name, IMPORTANCES)
        remedy = f"write {near!r}" if near else "write one of them"
        raise PartError(
            f"importance: got {quoted(name)}, expected one of {', '.join(sorted(IMPORTANCES))} or pkg.mod:Class; "
            + remedy
        )
    try:
        found = own_code.load(IMPORTANCES.get(name, name))
    except own_code.OwnCodeError as error:
        raise PartError(
            f"importance: got {quoted(name)}, which cannot be imported ({error}), expected pkg.mod:Class; "
            f"{own_code.REMEDY}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Importance)):
        raise PartError(
            f"importance: got {quoted(name)}, expected a class derived from {Importance.__module__}.Importance; "
            "derive it"
        )
    made: Importance = own_code.call(found)
    return made
