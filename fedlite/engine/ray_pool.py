"""Ray actors that run tasks.

Actors hold nothing that a crash could lose. When one dies its tasks are submitted again, with everything they need,
so that a killed actor costs time and nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from fedlite import own_code
from fedlite.engine.pool import Shared, Ticket, closed
from fedlite.engine.ray_cluster import Cluster, dead_processes
from fedlite.errors import EngineLostError, FedliteError
from fedlite.units import KIB

if TYPE_CHECKING:
    from fedlite.engine.task import Arrays, Result, Task, WorkerSpec

INLINE_BYTES = 64 * KIB
"""Shared arrays up to here are sent along: the store takes a millisecond to put and one to get (benchmarks/speed)."""
LOOK_S = 1.0
"""How often a waiting driver looks whether its cluster is still there."""
ATTEMPTS = 4
"""A task that brings down this many actors in a row is at fault itself."""
GPU_PARTS = 10_000
"""Into how many parts Ray divides a GPU."""


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


def actor_options(actors: int, gpus: float | None) -> dict[str, Any]:
    """Return what Ray is told of each of so many actors, which share so many GPUs evenly; None if they want none.

    Raises
    ------
    FedliteError
        If there is no GPU to share.
    """
    # No restarts by Ray: it replays calls out of order; the pool replaces actors and resubmits in order instead.
    options: dict[str, Any] = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
    if gpus is None:
        return options
    if gpus < 1:
        raise FedliteError(
            "--accelerator: got a Ray cluster that has no GPU, expected one or more; start its nodes with"
            " 'ray start --num-gpus', or leave the option out"
        )
    most_on_one = -(-actors // int(gpus))
    # Rounded down to what Ray counts in, or the last actor would wait for ever.
    return options | {"num_gpus": (GPU_PARTS // most_on_one) / GPU_PARTS}


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
    on_gpus : bool
        Whether the actors share the GPUs of the cluster.

    Raises
    ------
    FedliteError
        If the cluster cannot be reached, or has no GPU to share.
    """

    def __init__(self, spec: WorkerSpec, actors: int, address: str | None = None, *, on_gpus: bool = False) -> None:
        self._cluster = None if ray.is_initialized() else Cluster(actors, address)
        self._address = address
        self._spec = replace(spec, data={})
        try:
            self._options = actor_options(actors, ray.cluster_resources().get("GPU", 0.0) if on_gpus else None)
        except FedliteError:
            if self._cluster is not None:
                self._cluster.stop()
            raise
        self._data = ray.put(dict(spec.data))
        self._slots = [_Slot(self._new_actor()) for _ in range(actors)]

    @property
    def description(self) -> str:
        """What runs the tasks."""
        place = f" at {self._address}" if self._address else ""
        share = f" with {self._options['num_gpus']:g} GPU each" if "num_gpus" in self._options else ""
        return f"ray {ray.__version__}{place}, {len(self._slots)} actors{share}"

    @property
    def actors(self) -> list[Any]:
        """The actor handles, for those who want to look at or kill one."""
        return [slot.actor for slot in self._slots]

    def share(self, arrays: Arrays) -> Shared:
        """Put arrays into the object store, where actors read them without a copy; few bytes travel with each task."""
        self._refuse_lost()
        small = sum(values.nbytes for values in arrays.values()) <= INLINE_BYTES
        return Shared(arrays, dict(arrays) if small else ray.put(dict(arrays)))

    def submit(self, task: Task, shared: Shared) -> Ticket:
        """Give a task to the actor with the fewest tasks waiting."""
        self._refuse_lost()
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
                result = self._awaited(flight.reference)
            except RayTaskError as error:
                flight.slot.waiting -= 1
                # A user's mistake shows as it was raised; of a defect, where it was raised in the actor matters too.
                own = error.cause if isinstance(error.cause, FedliteError) else error.as_instanceof_cause()
                raise own from None
            except RayActorError as error:
                self._refuse_lost()
                self._resubmit(ticket, flight, error)
                continue
            except RayError as error:
                raise _engine_lost(f"{type(error).__name__} from Ray ({str(error).splitlines()[0]})") from error
            flight.slot.waiting -= 1
            return result

    def _awaited(self, reference: Any) -> Result:
        """Return what a task made, waiting for it as long as the cluster is there."""
        while True:
            try:
                result: Result = ray.get(reference, timeout=LOOK_S)
            except GetTimeoutError:
                self._refuse_lost()
            else:
                return result

    def _refuse_lost(self) -> None:
        if dead := dead_processes():
            self._slots = []
            raise _engine_lost(f"a dead {' and '.join(dead)}")

    def _resubmit(self, ticket: Ticket, flight: _Flight, error: RayActorError) -> None:
        if flight.attempts >= ATTEMPTS:
            raise FedliteError(
                f"engine: got {ATTEMPTS} dead actors in a row from one chunk of jobs ({ticket.task.kind}), expected it"
                " to finish; its client code, or a library of it, ends the process (os._exit, a crash in native code,"
                " too little memory): see its output with --backend local, where it takes fedlite with it"
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
        if self._cluster is not None:
            self._cluster.stop()

    def _new_actor(self) -> Any:
        return ray.remote(**self._options)(_Actor).remote(self._spec, self._data, sys.path, own_code.loaded())


def _engine_lost(what: str) -> EngineLostError:
    return EngineLostError(f"engine: got {what}, expected the Ray cluster to last as long as the run; start it again")


def _alive(actor: Any) -> bool:
    """Tell whether an actor still answers; a dead one fails at once."""
    try:
        ray.get(actor.__ray_ready__.remote())
    except RayActorError:
        return False
    return True
