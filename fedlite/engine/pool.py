"""Where tasks run: the interface of a pool and the one that runs in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from fedlite.engine.task import Arrays, Result, Task, Worker, WorkerSpec


@dataclass(frozen=True)
class Shared:
    """Arrays that many tasks read, put once where every actor reaches them. `handle` belongs to the pool."""

    arrays: Arrays
    handle: Any


@dataclass(frozen=True)
class Ticket:
    """A task on its way. `handle` belongs to the pool."""

    task: Task
    shared: Shared
    handle: Any


class Pool(Protocol):
    """Runs tasks on workers; results depend on the tasks alone, never on how many workers there are."""

    @property
    def description(self) -> str:
        """What runs the tasks, for the manifest: such as "ray, 2 actors"."""

    def share(self, arrays: Arrays) -> Shared:
        """Put arrays where every worker can read them."""

    def submit(self, task: Task, shared: Shared) -> Ticket:
        """Start a task, or queue it; a `FedliteError` after `close`."""

    def collect(self, ticket: Ticket) -> Result:
        """Return a task's result, waiting for it if need be, or raise what its worker raised."""

    def close(self) -> None:
        """Let go of everything. The pool is of no use afterwards; closing it again does nothing."""


class LocalPool:
    """Runs each task in this process when its result is asked for."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: Worker | None = None
        self._closed = False

    @property
    def description(self) -> str:
        """What runs the tasks."""
        return "in this process"

    def share(self, arrays: Arrays) -> Shared:
        """Return the arrays themselves."""
        return Shared(arrays, None)

    def submit(self, task: Task, shared: Shared) -> Ticket:
        """Remember the task."""
        if self._closed:
            raise closed()
        return Ticket(task, shared, None)

    def collect(self, ticket: Ticket) -> Result:
        """Run the task now."""
        if self._worker is None:
            self._worker = self._spec.build(self._spec.data)
        return self._worker.run(ticket.task, ticket.shared.arrays)

    def close(self) -> None:
        """Drop the worker."""
        self._worker, self._closed = None, True


def closed() -> FedliteError:
    """Return the error for a task that comes when its pool is closed."""
    return FedliteError("engine: got a task for a pool that is closed, expected an open one; open another pool")
