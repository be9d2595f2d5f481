"""Inputs of a linear layer, read off its update: x = dW / db, row by row.

Every example moves row i of the weights by g_i x and entry i of the bias by g_i. A row that a single example moved
therefore holds that example exactly, whatever the learning rate, the scale of a clipping, or how many steps were taken
without momentum or decay; a row that several moved holds their mean, weighted by g_i.

References
----------
Phong, Aono, Hayashi, Wang, Moriai 2017, "Privacy-preserving deep learning: revisited and enhanced".
Geiping, Bauermeister, Droege, Moeller 2020, "Inverting gradients: how easy is it to break privacy in federated
learning?", proposition 3.1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_SILENT: Final = 1e-7
"""Of the largest bias update: rows below were moved by nobody, only by rounding."""


def invert_linear(weight: Floats, bias: Floats) -> NDArray[np.float64]:
    """Return the inputs that each moved row says, the row of the largest bias update first.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs)
        The layer's update, or its gradient: the sign cancels.
    bias : ndarray, shape (outputs,)
        That of its bias.

    Returns
    -------
    ndarray, shape (rows, inputs)
        No row if nothing was moved.
    """
    size = np.abs(bias)
    order = np.argsort(-size, kind="stable")
    order = order[size[order] > _SILENT * size.max(initial=0.0)]
    return np.asarray(np.asarray(weight, np.float64)[order] / np.asarray(bias, np.float64)[order, None])
