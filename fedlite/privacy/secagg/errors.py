"""What can go wrong in secure aggregation, one type each."""

from __future__ import annotations

from fedlite.errors import FedliteError


class SecAggError(FedliteError):
    """Secure aggregation refuses to go on."""


class TermsError(SecAggError):
    """Terms that no protocol can keep."""


class BelowThresholdError(SecAggError):
    """So few clients are left that somebody's mask cannot be found again: the round is lost."""


class MalformedMessageError(SecAggError):
    """A message that is none of its kind."""


class ForgedShareError(SecAggError):
    """A share that was not made by whom it says, or that does not fit what was announced."""


class OutOfTurnError(SecAggError):
    """A message of somebody who is not expected to send it, or not now, or not again."""


class UnsafeRequestError(SecAggError):
    """The server asks a client for what would show one client's vector."""
