"""Secure aggregation: a server learns the sum of its clients' vectors and nothing else of them.

Every client adds to its vector a mask of its own and, for each of its neighbours, a mask that the neighbour subtracts.
The masks between neighbours cancel in the sum; those that do not, because somebody was lost on the way, are found again
from shares that each client gave its neighbours. Four round trips: keys, shares, masked vectors, unmasking.

The security is that of the semi-honest model: a server that follows the protocol and looks at everything that it gets,
together with fewer than `threshold` of any client's share holders. Here keys come from seeded streams, so that runs
can be repeated: what is simulated protects nobody.

References
----------
Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning", figure 4.
Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic overhead" (k neighbours).
"""

from __future__ import annotations
