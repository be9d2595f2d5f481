"""The Ray that a pool runs on: started here for as long as it is needed, or joined where somebody else runs it.

A cluster that is started here listens on the loopback, answers only who has the token of this run, ends with this
process however that ends, and is watched: Ray itself would end a driver without a word once its raylet is dead.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from fedlite.engine.reaper import Reaper
from fedlite.errors import EngineLostError, FedliteError
from fedlite.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

import ray
import ray._raylet
from ray._private import ray_constants

STORE_BYTES = 512 * MIB
ANSWER_S = 10.0
"""How long a cluster may take to accept a connection."""
_LONGEST: Final = 300
_LOOPBACK: Final = "127.0.0.1"
_QUIET: Final[dict[str, Any]] = {"log_to_driver": False, "logging_level": "ERROR"}


class Cluster:
    """Ray, from now until `stop`.

    Parameters
    ----------
    actors : int
        Processors that a cluster started here says it has.
    address : str, optional
        An existing cluster to join, with whatever token its owner has set; None starts one.

    Raises
    ------
    FedliteError
        If it cannot be reached.
    """

    def __init__(self, actors: int, address: str | None = None) -> None:
        self._reaper: Reaper | None = None
        self._before: dict[str, str | None] = {}
        with _sigterm_as_it_was():
            try:
                if address is None:
                    self._start(actors)
                else:
                    ray.init(address=address, **_QUIET)
            # Ray raises all kinds when it does not start, plain `Exception` among them.
            except Exception as error:
                self.stop()
                where = f"a Ray cluster at {address}" if address else "a local Ray cluster"
                kind = FedliteError if address else EngineLostError
                line = " ".join(str(error).split())[:_LONGEST]
                raise kind(
                    f"engine: got {type(error).__name__} ({line}) while reaching {where}, expected it to answer;"
                    " check --ray-address, or run with --backend local"
                ) from error
            except BaseException:
                # Whoever is stopped while Ray starts must not leave half of it behind.
                self.stop()
                raise

    def _start(self, actors: int) -> None:
        self._set(
            # Whoever does not have the token gets no answer.
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
            # What Ray does on other systems anyway: its processes use and listen on the loopback.
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        )
        ray_constants.ENABLE_RAY_CLUSTER = False
        # "local", or Ray would join whatever cluster it finds on this machine: another run, say.
        ray.init(
            address="local",
            num_cpus=actors,
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            _node_ip_address=_LOOPBACK,
            **_QUIET,
        )
        raylet = _node().all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid
        self._reaper = Reaper(raylet)
        # A driver that does not know its raylet's number ends at once when a call to it fails; one that knows it sees
        # that the process is still there, for it is this one's child, and leaves the rest to `dead_processes`.
        self._set(RAY_RAYLET_PID=str(raylet))

    def stop(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        ray.shutdown()
        if self._reaper is not None:
            self._reaper.let_go()
        if self._before:
            ray_constants.ENABLE_RAY_CLUSTER = True
            self._set(**self._before)
            self._before = {}

    def _set(self, **variables: str | None) -> None:
        """Change the environment, remember what it was, and have Ray read it: it did so at its import."""
        self._before |= {name: os.environ.get(name) for name in variables if name not in self._before}
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        core: Any = ray._raylet  # noqa: SLF001 (there is no public way)
        core.Config.initialize("")
        core.AuthenticationTokenLoader.instance().reset_cache()


def dead_processes() -> list[str]:
    """Return which processes of a cluster that this process has started are dead, such as `raylet`."""
    node = _node()
    return [] if node is None else sorted(name for name, _ in node.dead_processes())


def _node() -> Any:
    # Private, but the only one who knows the processes that Ray has started.
    return ray._private.worker._global_node  # noqa: SLF001


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    """Take back the handler that Ray puts over this process's own, which ends it without a word.

    A SIGTERM that Ray's got meanwhile goes to the one that was there.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)
    except SystemExit as stop:
        if stop.code == signal.SIGTERM and callable(handler):
            handler(signal.SIGTERM, None)
        raise


@contextmanager
def cluster(actors: int, address: str | None = None) -> Iterator[None]:
    """Keep one Ray up for several pools, one after another; a pool that finds Ray running does not stop it.

    Raises
    ------
    FedliteError
        If the cluster cannot be reached.
    """
    own = None if ray.is_initialized() else Cluster(actors, address)
    try:
        yield
    finally:
        if own is not None:
            own.stop()


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
