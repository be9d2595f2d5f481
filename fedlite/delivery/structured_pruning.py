"""Structured pruning after training: the channels that matter least are physically removed before the model is shipped.

Nothing is trained after it; a plan whose structure is `channels` trains on without them, and a term of group lasso has
emptied them before.

References
----------
Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1 (layer by layer, and what a filter takes with it).
Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning" (one rank over the whole net).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from fedlite.compression.channels.importance import importance_of
from fedlite.compression.channels.selection import check_settings
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration, Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.compression.overlap import IndexMap

_WARM: Final = 8
"""With earlier channels to begin with, one row in so many is looked at."""


@dataclass(frozen=True)
class StructuredPruning(Delivery):
    """The least important channels go.

    Attributes
    ----------
    share : float
        Of the channels that stays, above 0 up to 1.
    importance : str
        Which matter: a key of `channels.importance.IMPORTANCES`, or `pkg.mod:Class`. Those that need gradients take the
        client's rows, with the net's own answers for labels.
    scope : str
        "local": each layer keeps that share of its own; "global": the least of the whole net go.
    round_to : int
        Channels kept are a multiple of this, where they are not all.
    layers : tuple of str
        Only channels that these layers make go; of all layers if none is named.
    below : float, optional
        In place of the share: what scores below this share of its layer's largest goes.
    warm : bool
        Begin with the channels that were shipped before and look at an eighth of the rows: another channel has to
        score more than the best of them to take the place of the least. The rows are told beside those from nothing.
    """

    name: ClassVar[str] = "structured-pruning"
    cites: ClassVar[tuple[str, ...]] = ("li2017pruning",)

    share: float = 0.5
    importance: str = "l1"
    scope: str = "local"
    round_to: int = 1
    layers: tuple[str, ...] = ()
    below: float | None = None
    warm: bool = False

    def __post_init__(self) -> None:
        check_settings(self.share, self.below, self.round_to, self.scope)
        ranking = importance_of(self.importance)
        if self.warm and not ranking.needs_gradients:
            raise PartError(
                f"warm: got true with the importance {self.importance!r}, which looks at no rows and costs nothing, "
                "expected one that does, such as 'taylor'; leave it out"
            )
        # What ranks is part of what is used; the class alone cannot know it.
        object.__setattr__(self, "cites", (*type(self).cites, *(c for c in ranking.cites if c not in type(self).cites)))

    @property
    def label(self) -> str:
        """Such as "half of the channels by l1"."""
        kept = f"channels {self.share:g}" if self.below is None else f"channels above {self.below:g}"
        return f"{kept} by {self.importance}, {self.scope}"

    @property
    def remark(self) -> str:
        """What it does not do."""
        which = "matter least"
        if self.below is not None:
            which = "training has brought near to zero, if any (the facts say how many),"
        return f"channels that {which} are left out of the file and of inference; training was that of the whole net"

    @property
    def begins_with_previous(self) -> bool:
        """If it is warm."""
        return self.warm

    def deliver(self, artefact: Artefact, rows: Calibration) -> Artefact:
        """Return the artefact without these channels.

        Raises
        ------
        PartError
            If another delivery has replaced layers already, nothing can go, or a layer would be emptied.
        """
        from fedlite.compression.channels.pruning import removed

        net = artefact.as_trained(self.name)
        looks = importance_of(self.importance).needs_gradients
        state = {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}
        began = rows.previous_masks if self.warm else {}
        x = rows.x[: max(1, len(rows.x) // _WARM)] if began else rows.x
        small, _, maps, facts = removed(
            net, list(state.values()), self.share, self.importance, self.scope,
            (x, _answers(net, x)) if looks else None, began=began,
            input_shape=tuple(rows.x.shape[1:]), round_to=self.round_to, layers=self.layers, below=self.below,
        )  # fmt: skip
        # Of each layer how many stay, of how many.
        facts = {**facts, "channels_removed": sum(of - stay for stay, of in facts["channels"].values())}
        spent = (
            {
                "calibration_rows": len(x),
                "calibration_rows_from_nothing": len(rows.x),
                "share_of_time": len(x) / len(rows.x),
            }
            if self.warm
            else {}
        )
        # The answers, and a pass forward with one back, of twice its work.
        made = artefact.with_net(small, forward_samples=4 * len(x) * looks, **{self.name: facts}, **spent)
        return replace(made, masks=_left(state, maps))


def _left(state: Mapping[str, NDArray[Any]], maps: Sequence[IndexMap]) -> dict[str, NDArray[np.intp]]:
    """Return the output channels of each layer that are left, by the layer's name."""
    return {
        name.removesuffix(".weight"): np.unique(np.arange(len(whole))[np.asarray(index[0]).reshape(-1)])
        for (name, whole), index in zip(state.items(), maps, strict=True)
        if name.endswith(".weight") and not isinstance(index[0], slice)
    }


def _answers(net: nn.Module, x: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class that a net gives each row: nobody has labelled them."""
    import copy

    import torch

    with torch.no_grad():
        outputs = copy.deepcopy(net).eval()(torch.from_numpy(np.array(x)))
    return np.asarray(outputs.argmax(dim=1).numpy())
