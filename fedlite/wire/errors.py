"""What can be wrong with arrays to send or with bytes received."""

from __future__ import annotations

from fedlite.errors import FedliteError


class CodecError(FedliteError):
    """A codec is written wrongly, or used where it makes no sense."""


class WireError(FedliteError):
    """Arrays cannot be encoded, or a buffer is truncated, corrupt or no packet at all."""
