"""Which two data sets an epsilon tells apart, and how far one client can then move a sum of clipped updates.

References
----------
Desfontaines, Pejo 2020, "SoK: Differential privacies" (neighbourhoods). Kairouz et al. 2021, "Practical and
private (deep) learning without sampling or shuffling" (zero-out).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dp_accounting.privacy_accountant import NeighboringRelation

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Relation:
    """A neighbouring relation.

    Attributes
    ----------
    name : str
    says : str
        In words.
    sensitivity : float
        By how many clipping norms one client can move a sum.
    of_library : NeighboringRelation
        Its name in dp-accounting.
    """

    name: str
    says: str
    sensitivity: float
    of_library: NeighboringRelation


RELATIONS: Final[Mapping[str, Relation]] = MappingProxyType(
    {
        relation.name: relation
        for relation in (
            Relation(
                "add-remove",
                "one client with all its data is added or removed (sensitivity C)",
                1.0,
                NeighboringRelation.ADD_OR_REMOVE_ONE,
            ),
            Relation(
                "replace-one",
                "one client is replaced by another (sensitivity 2 C, so z counts half)",
                2.0,
                NeighboringRelation.REPLACE_ONE,
            ),
            Relation(
                "zero-out",
                "one client's updates are replaced by nothing, cohorts unchanged (sensitivity C)",
                1.0,
                NeighboringRelation.REPLACE_SPECIAL,
            ),
        )
    }
)
