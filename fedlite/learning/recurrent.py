"""Which operators belong to a recurrent layer.

On some hosts torch runs an LSTM as one fused operator, on others (and for GRUs) as matrix products and gates step by
step. The call itself is seen before that choice, so the work is of class recurrent on either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SEQUENCES: Final = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
_BATCH_FIRST: Final = 8
"""Position of `batch_first` in the call of a padded sequence."""


@dataclass(frozen=True)
class RecurrentCall:
    """One call of an LSTM, GRU or RNN over a sequence."""

    number: int
    steps: int
    in_elements: int
    in_channels: int


class RecurrentCalls(TorchFunctionMode):
    """Knows, while it is active, whether the code running now is inside a recurrent layer's call."""

    def __init__(self) -> None:
        super().__init__()
        self.current: RecurrentCall | None = None
        self._count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the function; while it is a recurrent call, `current` describes it."""
        if getattr(func, "__name__", "") not in _SEQUENCES or self.current is not None:
            return func(*args, **(kwargs or {}))
        self._count += 1
        self.current = _describe(self._count, args)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.current = None


def _describe(number: int, args: Sequence[Any]) -> RecurrentCall:
    inputs = args[0]
    if isinstance(args[1], torch.Tensor) and inputs.dim() == 2:  # noqa: PLR2004 - a packed sequence is flat
        return RecurrentCall(number, int(args[1].numel()), inputs.numel(), inputs.shape[-1])
    steps = inputs.shape[1 if args[_BATCH_FIRST] else 0]
    return RecurrentCall(number, steps, inputs.numel(), inputs.shape[-1])
