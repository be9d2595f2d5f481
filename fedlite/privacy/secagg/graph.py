"""Who is whose neighbour: a ring in random order, in which each knows the k / 2 next to it on both sides.

References
----------
Bell et al. 2020: a Harary graph whose nodes are named at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection


def ring(members: Collection[int], neighbours: int, rng: np.random.Generator) -> dict[int, tuple[int, ...]]:
    """Return each member's neighbours, sorted: `neighbours` of them, an even number, or all others if there are fewer.

    Neighbourhood is mutual, and what there is of it does not depend on the order of `members`.
    """
    order = [int(member) for member in rng.permutation(np.sort(np.fromiter(members, np.int64, len(members))))]
    if len(order) <= neighbours + 1:
        return {member: tuple(sorted({*order} - {member})) for member in order}
    near = [step for step in range(-(neighbours // 2), neighbours // 2 + 1) if step]
    return {
        member: tuple(sorted(order[(place + step) % len(order)] for step in near)) for place, member in enumerate(order)
    }
