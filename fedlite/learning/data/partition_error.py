"""The error of every rule that deals rows to clients."""

from __future__ import annotations

from fedlite.errors import FedliteError


class PartitionError(FedliteError):
    """The rule can not be kept: too few rows, or an option that is unknown or out of range."""
