"""Which labels a client has, read off the last layer's bias.

The gradient of the cross entropy by the bias of class c is the mean of p_c - [c = label]: only the label's own entry
can be negative of a single example, so that the update, which goes the other way, is positive there and nowhere else.
Of several examples a class is told to be there if its entry is positive; classes that few of them have may be missed.

References
----------
Zhao, Mopuri, Bilen 2020, "iDLG: improved deep leakage from gradients", section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def single_label(bias: Floats) -> int:
    """Return the label of the one example behind the update (classes,) of the last layer's bias."""
    return int(np.argmax(bias))


def labels_present(bias: Floats) -> NDArray[np.int64]:
    """Return the classes that some example has; the one of the largest entry in any case."""
    found = np.flatnonzero(np.asarray(bias) > 0)
    return found if len(found) else np.array([single_label(bias)])
