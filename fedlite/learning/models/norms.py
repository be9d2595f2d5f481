"""The normalisation after a convolution: by group (the default for federated averaging), by batch, or static.

Batch statistics differ between clients with different data, and averaging them breaks federated models; group
normalisation has none. Groups have a fixed number of channels, not a fixed count, so a width slice keeps whole groups
and normalises them exactly as the full model does. Both kinds have the same number of trainable scalars.

"static" is batch normalisation that tracks no statistics: they are no part of what is trained, sent and averaged. Until
a delivery (`batch-statistics`) has asked for them, every batch is normalised by its own, in tests too.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL", section 3.2 (static batch normalisation).
Wu, He 2018, "Group Normalization", table 3 (fixed channels per group).
Hsieh et al. 2020, "The Non-IID Data Quagmire of Decentralized Machine Learning", section 5.
"""

from __future__ import annotations

from torch import nn

from fedlite.errors import UnknownNameError
from fedlite.learning.models.widths import CHANNEL_MULTIPLE

NORMS = ("group", "batch", "static")


def norm_2d(kind: str, channels: int, per_group: int = CHANNEL_MULTIPLE) -> nn.Module:
    """Return the normalisation of `channels` feature maps, in groups of `per_group` if it is by group.

    Raises
    ------
    UnknownNameError
        If the kind is not one of `NORMS`.
    """
    if kind == "group":
        return nn.GroupNorm(channels // per_group, channels)
    if kind in ("batch", "static"):
        return nn.BatchNorm2d(channels, track_running_stats=kind == "batch")
    raise UnknownNameError("norm", kind, list(NORMS))


def norm_1d(kind: str, features: int) -> nn.Module:
    """Return the normalisation of `features` units of a hidden layer; as `norm_2d`."""
    if kind in ("batch", "static"):
        return nn.BatchNorm1d(features, track_running_stats=kind == "batch")
    return norm_2d(kind, features)
