"""Progressive growth: the first block alone in the first rounds, then one block more every so many rounds.

Devices train, and exchange, a shallower net in the early rounds. Each stage learns through the exit of its last block;
exits of earlier stages stay as they were. The paper also freezes the old blocks for a few steps after each growth
("warm-up"), which is not done here.

References
----------
Wang et al. 2022, "ProgFed: Effective, communication, and computation efficient federated learning by progressive
training", section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedlite.compression.part import PartError
from fedlite.compression.structure.depth import Depth


@dataclass(frozen=True)
class Growing(Depth):
    """A net with exits that grows block by block over the rounds; outside of rounds it is that of the last stage.

    Attributes
    ----------
    blocks : int
        To how many blocks it grows.
    every : int
        Rounds for which each stage but the last is trained.
    first : int
        Blocks that it begins with.
    """

    name: ClassVar[str] = "growing"
    cites: ClassVar[tuple[str, ...]] = ("wang2022progfed",)

    every: int = 10
    first: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise PartError(f"every: got {self.every}, expected 1 or more; 10 adds a block after every ten rounds")
        if not 1 <= self.first < self.blocks:
            raise PartError(
                f"first: got {self.first} of {self.blocks} blocks, expected 1 or more and fewer than all; "
                "write for example first: 1"
            )

    @property
    def label(self) -> str:
        """Such as "growing to 3"."""
        return f"growing to {self.blocks}"

    @property
    def remark(self) -> str:
        """When it saves."""
        return (
            f"the net grows from {self.first} to {self.blocks} blocks, one every {self.every} rounds: work and bytes"
            " are saved until it is whole; memory and what is shipped are those of the whole net"
        )

    def at(self, round_: int, device: int) -> Depth:
        """Return the stage of a round."""
        return Depth(min(self.blocks, self.first + max(round_ - 1, 0) // self.every))
