"""A global model that diverges ends its run with the last one that did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.flower.serving import Tester


class ModelDivergedError(FedliteError):
    """The server's own step made numbers that are none, or from which nobody learns, of finite updates."""


class FiniteModel:
    """Stands before a tester (see `serving.Tester`): lets finite models through and remembers the last of them.

    Parameters
    ----------
    test : Tester
    """

    def __init__(self, test: Tester) -> None:
        self._test = test
        self.round_ = 0
        """Round of the last finite model."""
        self.arrays: list[NDArray[Any]] = []

    def __call__(self, round_: int, arrays: Sequence[NDArray[Any]]) -> dict[str, float]:
        """Test a model.

        Raises
        ------
        ModelDivergedError
            If one of its numbers is not finite.
        """
        if not all(np.isfinite(array).all() for array in arrays):
            raise ModelDivergedError(f"the global model was not finite after round {round_}")
        self.round_, self.arrays = round_, [np.array(array) for array in arrays]
        return self._test(round_, arrays)
