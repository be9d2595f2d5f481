"""Structured pruning in a federation: a device trains the channels that matter most in the server's model of the round.

How many channels each layer keeps is known before any value is: the same share of every layer, so that nets, traces and
prices do not change from round to round. Which they are is ranked anew from each model that is sent, and what comes
back is averaged over those that hold a coordinate. A rank over the whole net would give other shapes every round; it is
for a trained model that is delivered (`channels.pruning`).

References
----------
Li et al. 2017, "Pruning Filters for Efficient ConvNets" (channels with small sums of magnitudes are taken out).
Diao, Ding, Tarokh 2021, "HeteroFL", equation 2 (mean over those that hold a coordinate).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.channels.importance import importance_of
from fedlite.compression.channels.selection import check_settings, first, local, local_counts
from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.width import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from fedlite.compression.channels.groups import Coupling


@dataclass(frozen=True)
class Channels(Structure):
    """The most important channels of every layer; the others are physically removed.

    Attributes
    ----------
    share : float
        Of the channels of each layer that is kept, above 0 up to 1.
    importance : str
        Which matter: a key of `channels.importance.IMPORTANCES` that looks at weights alone, or `pkg.mod:Class`.
    round_to : int
        Channels kept are a multiple of this, where they are not all.
    layers : tuple of str
        Only channels that these layers make are taken out; of all layers if none is named.
    """

    name: ClassVar[str] = "channels"
    cites: ClassVar[tuple[str, ...]] = ("li2017pruning", "diao2021heterofl")
    moves: ClassVar[bool] = True

    share: float
    importance: str = "l1"
    round_to: int = 1
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self.share, None, self.round_to, "local")
        ranking = importance_of(self.importance)
        if ranking.needs_gradients:
            raise PartError(
                f"importance: got {self.importance!r}, which needs data that the server has not, expected one of"
                " weights alone; write 'l1', or prune a trained model with it"
            )
        # What ranks is part of what is used; the class alone cannot know it.
        object.__setattr__(self, "cites", (*type(self).cites, *(c for c in ranking.cites if c not in type(self).cites)))

    @property
    def label(self) -> str:
        """Such as "channels 0.5 by l1"."""
        return f"channels {self.share:g} by {self.importance}"

    @property
    def remark(self) -> str:
        """What it saves."""
        return "less time, memory and bytes, as the smaller net's own trace says"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net with that many channels in each layer.

        Raises
        ------
        PartError
            If no channel of it can go, or a layer would keep none.
        """
        from fedlite.compression.channels.removal import without

        coupling = _coupling(spec)
        counts = local_counts(coupling, self.share, self.round_to, self.layers)
        return without(spec.build(), coupling, first(coupling, counts))

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Slice:
        """Return where the channels lie that matter most in this model."""
        from fedlite.compression.channels.pruning import ranked
        from fedlite.compression.channels.removal import maps_of

        coupling, net = _coupling(spec), _net(spec)
        scores = ranked(coupling, dict(zip(net.state_dict(), full, strict=True)), self.importance)
        keep = local(coupling, scores, self.share, self.round_to, self.layers)
        return Slice(full, maps_of(net, coupling, keep))


@lru_cache(maxsize=4)
def _net(spec: NetSpec) -> nn.Module:
    """Return the full net, of which only the names and shapes are looked at."""
    return spec.build()


@lru_cache(maxsize=4)
def _coupling(spec: NetSpec) -> Coupling:
    from fedlite.compression.channels.coupling import coupled

    return coupled(_net(spec), spec.input_shape)
