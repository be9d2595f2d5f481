"""Asynchronous federated learning on the grid's push and pull: FedBuff and FedAsync.

There are no rounds: as soon as a device replies, another one is asked. Both are the same server loop with another rule
for what a reply does to the global model.

References
----------
Nguyen et al. 2022, "Federated learning with buffered asynchronous aggregation", algorithm 1.
Xie, Koyejo, Gupta 2019, "Asynchronous federated optimization", algorithm 1 and the polynomial staleness of section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from fedlite.flower.finite import ModelDivergedError
from fedlite.flower.records import from_record, in_types, to_record, types_of
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.flower.grid import FleetGrid
    from fedlite.flower.serving import Tester

Array = NDArray[Any]
MOST_FAILED = 1000
"""Failures in a row after which a server stops: from a model that diverged nobody ever learns."""


class Rule(Protocol):
    """What replies do to the global model."""

    def take(self, model: list[Array], base: list[Array], reply: list[Array], staleness: int) -> list[Array] | None:
        """Use one reply trained from `base`; return the next model, or None while it stays as it is."""


class FedBuff:
    """The server steps by the mean of `buffer` staleness-weighted updates."""

    def __init__(self, buffer: int, server_learning_rate: float = 1.0, staleness_exponent: float = 0.5) -> None:
        self._buffer = buffer
        self._rate = server_learning_rate
        self._exponent = staleness_exponent
        self._sum: list[NDArray[np.float64]] = []
        self._count = 0

    def take(self, model: list[Array], base: list[Array], reply: list[Array], staleness: int) -> list[Array] | None:
        """Add one update to the buffer; step when it is full."""
        weight = (1.0 + staleness) ** -self._exponent
        update = [weight * (new.astype(np.float64) - old) for new, old in zip(reply, base, strict=True)]
        self._sum = [a + b for a, b in zip(self._sum, update, strict=True)] if self._sum else update
        self._count += 1
        if self._count < self._buffer:
            return None
        step = self._rate / self._count
        stepped = [old + step * total for old, total in zip(model, self._sum, strict=True)]
        self._sum, self._count = [], 0
        return in_types(stepped, types_of(model))


class FedAsync:
    """Every reply is mixed in at once, the less the older the model it started from."""

    def __init__(self, mixing: float = 0.6, staleness_exponent: float = 0.5) -> None:
        self._mixing = mixing
        self._exponent = staleness_exponent

    def take(self, model: list[Array], base: list[Array], reply: list[Array], staleness: int) -> list[Array] | None:
        """Return the mixture of the model and the reply."""
        del base
        share = self._mixing * (1.0 + staleness) ** -self._exponent
        mixed = [(1 - share) * old + share * new for old, new in zip(model, reply, strict=True)]
        return in_types(mixed, types_of(model))


@dataclass(frozen=True)
class _Version:
    """A state of the global model that devices may still be training from."""

    number: int
    arrays: list[Array]
    record: ArrayRecord


class AsyncServer:
    """The server loop: keeps `concurrency` devices at work and applies a rule to what they send.

    Parameters
    ----------
    grid : FleetGrid
    rule : Rule
    concurrency : int
        Devices at work at any time, as far as so many are eligible.
    names : sequence of str
        Keys of the model's state dict.
    seed : int
        Names the stream that picks devices.
    """

    def __init__(self, grid: FleetGrid, rule: Rule, concurrency: int, names: Sequence[str], seed: int) -> None:
        self._grid = grid
        self._rule = rule
        self._concurrency = concurrency
        self._names = names
        self._rng = stream(seed, "asynchronous sampling")
        self._at_work: dict[str, _Version] = {}

    def run(self, arrays: Sequence[Array], steps: int, test: Tester) -> list[Array]:
        """Run until the global model has taken `steps` steps, and return it.

        Raises
        ------
        ModelDivergedError
            If it is certain that it never will.
        """
        version = self._version(0, list(arrays))
        test(0, version.arrays)
        failed = 0
        while version.number < steps:
            self._ask(version)
            for reply in self._hear():
                base = self._at_work.pop(reply.metadata.reply_to_message_id)
                failed = failed + 1 if reply.has_error() else 0
                if failed > MOST_FAILED:
                    raise ModelDivergedError(
                        f"{failed} jobs failed one after the other from the model of step {version.number}"
                    )
                if reply.has_error() or version.number >= steps:
                    continue
                received = from_record(next(iter(reply.content.array_records.values())))
                stepped = self._rule.take(version.arrays, base.arrays, received, version.number - base.number)
                if stepped is not None:
                    version = self._version(version.number + 1, stepped)
                    test(version.number, version.arrays)
        self._grid.finish()
        return version.arrays

    def _hear(self) -> list[Message]:
        """Return the next replies; none as soon as another device can be asked that is wanted."""
        if len(self._at_work) < self._concurrency:
            return self._grid.pull_or_meet(list(self._at_work))
        return self._grid.pull_messages(list(self._at_work))

    def _version(self, number: int, arrays: list[Array]) -> _Version:
        return _Version(number, arrays, to_record(self._names, arrays))

    def _ask(self, version: _Version) -> None:
        """Send the model to idle devices until enough are at work; wait if nobody is and nobody can be asked."""
        wanted = self._concurrency - len(self._at_work)
        if wanted <= 0:
            return
        nodes = self._grid.get_node_ids()
        while not nodes and not self._at_work:
            self._grid.wait()
            nodes = self._grid.get_node_ids()
        if not nodes:
            return
        chosen = self._rng.choice(len(nodes), size=min(wanted, len(nodes)), replace=False)
        config = ConfigRecord({"server-round": version.number + 1})
        content = RecordDict({"arrays": version.record, "config": config})
        messages = [Message(content, nodes[index], "train") for index in sorted(chosen.tolist())]
        for message_id in self._grid.push_messages(messages):
            self._at_work[message_id] = version
