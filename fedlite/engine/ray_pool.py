"""Ray actors that run tasks: the only module that imports ray.

Actors hold nothing that a crash could lose. When one dies its tasks are submitted again, with everything they need,
so that a killed actor costs time and nothing else.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedlite import own_code
from fedlite.engine.pool import Shared, Ticket, closed
from fedlite.engine.task import Arrays, Result, Task, WorkerSpec
from fedlite.errors import FedliteError
from fedlite.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

# Ray prints warnings about these unless told; set before ray is imported, and inherited by its processes.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

STORE_BYTES = 512 * MIB
INLINE_BYTES = 64 * KIB
"""Shared arrays up to here are sent along: the store takes a millisecond to put and one to get (benchmarks/speed)."""
ANSWER_S = 10.0
"""How long a cluster may take to accept a connection."""
ATTEMPTS = 4
"""A task that brings down this many actors in a row is at fault itself."""


class _Actor:
    """Builds the worker once and runs tasks on one thread."""

    def __init__(self, spec: WorkerSpec, data: Arrays, path: list[str], own: list[str]) -> None:
        import torch

        own_code.remember(own)
        # A part of the user's own is imported here too, from wherever the driver found it.
        sys.path += [folder for folder in path if folder not in sys.path]
        torch.set_num_threads(1)
        self._worker = spec.build(data)

    def run(self, task: Task, shared: Arrays) -> Result:
        return self._worker.run(task, shared)


@dataclass
class _Slot:
    """One actor and how many of its tasks are not collected yet."""

    actor: Any
    waiting: int = 0


@dataclass
class _Flight:
    """Where a task is under way now; changes when its actor died."""

    slot: _Slot
    reference: Any
    attempts: int = field(default=1)


class RayPool:
    """Tasks on `actors` Ray actors, each with one processor and one torch thread.

    Parameters
    ----------
    spec : WorkerSpec
        How each actor builds its worker; `spec.data` is put into the object store once.
    actors : int
        Number of actors.
    address : str, optional
        An existing Ray cluster to join; None starts one on this machine for the life of the pool.

    Raises
    ------
    FedliteError
        If the cluster cannot be reached.
    """

    def __init__(self, spec: WorkerSpec, actors: int, address: str | None = None) -> None:
        self._owns_ray = not ray.is_initialized()
        self._address = address
        if self._owns_ray:
            _start_ray(actors, address)
        self._spec = WorkerSpec(spec.target, spec.options)
        self._data = ray.put(dict(spec.data))
        self._slots = [_Slot(self._new_actor()) for _ in range(actors)]

    @property
    def description(self) -> str:
        """What runs the tasks."""
        place = f" at {self._address}" if self._address else ""
        return f"ray {ray.__version__}{place}, {len(self._slots)} actors"

    @property
    def actors(self) -> list[Any]:
        """The actor handles, for those who want to look at or kill one."""
        return [slot.actor for slot in self._slots]

    def share(self, arrays: Arrays) -> Shared:
        """Put arrays into the object store, where actors read them without a copy; few bytes travel with each task."""
        small = sum(values.nbytes for values in arrays.values()) <= INLINE_BYTES
        return Shared(arrays, dict(arrays) if small else ray.put(dict(arrays)))

    def submit(self, task: Task, shared: Shared) -> Ticket:
        """Give a task to the actor with the fewest tasks waiting."""
        if not self._slots:
            raise closed()
        slot = min(self._slots, key=lambda candidate: candidate.waiting)
        slot.waiting += 1
        return Ticket(task, shared, _Flight(slot, slot.actor.run.remote(task, shared.handle)))

    def collect(self, ticket: Ticket) -> Result:
        """Wait for a task; if its actor died, run it again on a fresh one.

        Raises
        ------
        FedliteError
            If the task has brought down several actors in a row.
        """
        flight: _Flight = ticket.handle
        while True:
            try:
                result: Result = ray.get(flight.reference)
            except RayTaskError as error:
                flight.slot.waiting -= 1
                # A user's mistake shows as it was raised; of a defect, where it was raised in the actor matters too.
                own = error.cause if isinstance(error.cause, FedliteError) else error.as_instanceof_cause()
                raise own from None
            except RayActorError as error:
                self._resubmit(ticket, flight, error)
                continue
            except RayError as error:
                raise FedliteError(
                    f"engine: got {type(error).__name__} from Ray ({str(error).splitlines()[0]}), expected the cluster"
                    " to last as long as the run; start it again and continue with --resume"
                ) from error
            flight.slot.waiting -= 1
            return result

    def _resubmit(self, ticket: Ticket, flight: _Flight, error: RayActorError) -> None:
        if flight.attempts >= ATTEMPTS:
            raise FedliteError(
                f"engine: got {ATTEMPTS} dead actors in a row while running one chunk ({error}), expected it to finish;"
                " lower the memory a chunk needs, or run with --backend local to see the cause"
            ) from error
        flight.attempts += 1
        if not _alive(flight.slot.actor):
            flight.slot.actor = self._new_actor()
        flight.reference = flight.slot.actor.run.remote(ticket.task, ticket.shared.handle)

    def close(self) -> None:
        """Kill the actors, and stop Ray if this pool started it."""
        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots = []
        if self._owns_ray:
            ray.shutdown()

    def _new_actor(self) -> Any:
        # No restarts by Ray: it replays calls out of order; the pool replaces actors and resubmits in order instead.
        return ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor).remote(
            self._spec, self._data, sys.path, own_code.loaded()
        )


@contextmanager
def cluster(actors: int, address: str | None = None) -> Iterator[None]:
    """Keep one Ray up for several pools, one after another; a pool that finds Ray running does not stop it.

    Raises
    ------
    FedliteError
        If the cluster cannot be reached.
    """
    starts = not ray.is_initialized()
    if starts:
        _start_ray(actors, address)
    try:
        yield
    finally:
        if starts:
            ray.shutdown()


def _alive(actor: Any) -> bool:
    """Tell whether an actor still answers; a dead one fails at once."""
    try:
        ray.get(actor.__ray_ready__.remote())
    except RayActorError:
        return False
    return True


def check_address(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try again and again for minutes.

    Raises
    ------
    FedliteError
        If nothing takes a connection there. Addresses without a port, such as "auto", are left to Ray.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError, ValueError) as error:
        raise FedliteError(
            f"--ray-address: got {address!r}, where nobody answers ({error}), expected HOST:PORT of a running cluster;"
            " start one with 'ray start --head', or leave the option out"
        ) from error


def _start_ray(actors: int, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        if address is None:
            # "local", or Ray would join whatever cluster it finds on this machine: another run, say.
            ray.init(address="local", num_cpus=actors, object_store_memory=STORE_BYTES, **quiet)
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RayError, ValueError, RuntimeError) as error:
        where = f"a Ray cluster at {address}" if address else "a local Ray cluster"
        raise FedliteError(
            f"engine: got {error!r} while reaching {where}, expected it to answer;"
            " check --ray-address, or run with --backend local"
        ) from error
