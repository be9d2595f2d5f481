"""From settings to a pool: Ray or this process, with the journal before it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from fedlite.compose.backend import BACKENDS, usable_processors
from fedlite.engine.journal import JournaledPool
from fedlite.engine.pool import LocalPool, Pool
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning.training import accelerator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fedlite.compose.backend import Wanted
    from fedlite.engine.task import WorkerSpec

MOST_ACTORS = 8
"""Without `--actors`; each takes a quarter of a gigabyte."""
MOST_ON_A_GPU = 4
"""Without `--actors`; each has its own copy of the data there, and whatever CUDA takes. Not measured."""


class Lasting:
    """What a user wants of several pools, one after another: the Ray that the first of them needs stays up."""

    def __init__(self, wanted: Wanted, stack: ExitStack) -> None:
        self.backend = wanted.backend
        self.actors = wanted.actors
        self.ray_address = wanted.ray_address
        self.accelerator = wanted.accelerator
        self.log_to = tuple(wanted.log_to)
        self.up = False
        """Whether Ray has been started or joined."""
        self._stack = stack

    def start(self) -> None:
        """Start Ray, or join it, unless that is done."""
        from fedlite.engine.ray_cluster import cluster

        if not self.up:
            self._stack.enter_context(cluster(_actors(self), self.ray_address))
            self.up = True


@contextmanager
def open_engine(wanted: Wanted) -> Iterator[Lasting]:
    """Keep what pools run on up while several are opened one after another: Ray, from when it is needed.

    Raises
    ------
    FedliteError
        On entry, if Ray is asked for and does not start.
    """
    with ExitStack() as stack:
        lasting = Lasting(wanted, stack)
        if wanted.backend == "ray":
            lasting.start()
        yield lasting


def check_backend(wanted: Wanted) -> None:
    """Refuse a backend that there is not, and a Ray address that nobody would go to or where nobody is.

    Raises
    ------
    FedliteError
        If there is no such backend, an address comes with "local", or nobody answers there.
    """
    if wanted.backend not in BACKENDS:
        raise UnknownNameError("backend", wanted.backend, list(BACKENDS))
    if wanted.backend == "local" and wanted.ray_address is not None:
        raise FedliteError(
            f"--ray-address: got {wanted.ray_address!r} with backend 'local', expected backend 'ray'; leave one out"
        )
    if wanted.ray_address is not None:
        from fedlite.engine.ray_cluster import check_address

        check_address(wanted.ray_address)


def open_pool(spec: WorkerSpec, wanted: Wanted, backend: str, journal: Path | None, program: str = "") -> Pool:
    """Start the pool that runs chunks, on the backend that was chosen: "ray" or "local".

    What another `program` wrote into the journal is not taken.
    """
    pool: Pool
    if backend == "local":
        pool = LocalPool(spec)
    else:
        from fedlite.engine.ray_pool import RayPool

        if isinstance(wanted, Lasting):
            wanted.start()
        on_gpus = accelerator.find(wanted.accelerator).kind == "cuda"
        pool = RayPool(spec, _actors(wanted), wanted.ray_address, on_gpus=on_gpus)
    if journal is None:
        return pool
    try:
        return JournaledPool(pool, journal, f"{spec.digest} {program}")
    except FedliteError:
        pool.close()
        raise


def _actors(wanted: Wanted) -> int:
    most = min(usable_processors(), MOST_ACTORS)
    if accelerator.find(wanted.accelerator).kind == "cuda":
        most = min(most, MOST_ON_A_GPU * accelerator.count())
    return wanted.actors or most
