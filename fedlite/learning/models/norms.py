"""The normalisation after a convolution: by group (the default for federated averaging) or by batch.

Batch statistics differ between clients with different data, and averaging them breaks federated models; group
normalisation has none. Groups have a fixed number of channels, not a fixed count, so a width slice keeps whole groups
and normalises them exactly as the full model does. Both kinds have the same number of trainable scalars.

References
----------
Wu, He 2018, "Group Normalization", table 3 (fixed channels per group).
Hsieh et al. 2020, "The Non-IID Data Quagmire of Decentralized Machine Learning", section 5.
"""

from __future__ import annotations

from torch import nn

from fedlite.errors import UnknownNameError
from fedlite.learning.models.widths import CHANNEL_MULTIPLE

NORMS = ("group", "batch")


def norm_2d(kind: str, channels: int, per_group: int = CHANNEL_MULTIPLE) -> nn.Module:
    """Return the normalisation of `channels` feature maps, in groups of `per_group` if it is by group.

    Raises
    ------
    UnknownNameError
        If the kind is not one of `NORMS`.
    """
    if kind == "group":
        return nn.GroupNorm(channels // per_group, channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    raise UnknownNameError("norm", kind, list(NORMS))


def norm_1d(kind: str, features: int) -> nn.Module:
    """Return the normalisation of `features` units of a hidden layer; as `norm_2d`."""
    return nn.BatchNorm1d(features) if kind == "batch" else norm_2d(kind, features)
