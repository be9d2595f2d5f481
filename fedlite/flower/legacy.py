"""Flower's older server side on the grid, in virtual time: `server_fn`, its Servers and strategies, and workflows.

Flower's own code runs: `start_grid` with the Server that an app brings or the ordinary one, and `DefaultWorkflow`.
Three things are put in its way while it does. The thread that registers nodes becomes a call, made whenever a client
manager is asked. Waiting for clients moves the clock. And its thread pools, which ask clients one by one, work in
lockstep, so that a round leaves as one batch. Every name of the older packages that fedlite touches is in this module.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import io
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, Error, Message

from fedlite.errors import FedliteError
from fedlite.flower import compat, lockstep
from fedlite.flower.records import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flwr.serverapp import ServerApp

    from fedlite.flower.grid import FleetGrid

PARAMETERS: Final = "parameters"
"""Record of a LegacyContext's state in which workflows keep the model."""


def is_legacy(server_app: ServerApp) -> bool:
    """Tell whether a ServerApp has no `@app.main()`: Flower then serves it in its compatibility mode."""
    return getattr(server_app, "_main", None) is None


class LegacyGrid:
    """The grid as older server code sees it.

    Whoever does not answer in time is an error, as it is in Flower, whose messages expire; and what the tasks of a
    thread pool ask leaves as one batch.

    Parameters
    ----------
    grid : FleetGrid
    """

    def __init__(self, grid: FleetGrid) -> None:
        self.fleet_grid = grid
        self.lockstep = lockstep.Lockstep(self._exchange)
        self.lost = False
        """Whether a thread of the app's own asked a client; such answers have no place in virtual time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fleet_grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and return their replies.

        Parameters
        ----------
        messages : iterable of Message
        timeout : float, optional
            Virtual seconds; without it, the messages' own time to live holds.
        """
        if self.lockstep.foreign:
            self.lost = True
            raise FedliteError(_LOST)
        if timeout is None:
            return self.lockstep.ask(list(messages))
        return self.fleet_grid.send_and_receive(messages, timeout=timeout)

    def _exchange(self, batch: list[Message]) -> list[Message]:
        timeout_s = min((message.metadata.ttl for message in batch), default=None)
        replies = self.fleet_grid.send_and_receive(batch, timeout=timeout_s)
        heard = {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [heard.get(message.metadata.message_id) or _expired(message) for message in batch]


_LOST: Final = (
    "server app: got a client asked from a thread of its own, expected the threads of a"
    " concurrent.futures.ThreadPoolExecutor that the module imports at its top, or none; answers that come to other"
    " threads have no place in virtual time"
)


def _expired(message: Message) -> Message:
    error = Error(compat.ERROR_MESSAGE_UNAVAILABLE, "the device stayed silent until the message expired")
    return compat.reply(message, error, f"{message.metadata.message_id}-reply")


@contextmanager
def served(grid: FleetGrid, folder: Path, observer: compat.StartObserver) -> Iterator[Any]:
    """Let older server code run in virtual time, and give the grid that it may have; tell an observer what it trains.

    Parameters
    ----------
    grid : FleetGrid
    folder : Path
        The app's directory; thread pools that its modules make work in lockstep.
    observer : StartObserver
    """
    own = LegacyGrid(grid)
    app, workflows, server = (
        importlib.import_module(f"flwr.server.{name}")
        for name in ("compat.app", "workflow.default_workflows", "server")
    )
    history = importlib.import_module("flwr.server.history").History
    register = functools.partial(_register, own)
    with ExitStack() as stack:
        for target, name, value in (
            (app, "start_update_client_manager_thread", register),
            (app, "run_fl", _watched_server(app.run_fl, observer)),
            (workflows, "start_update_client_manager_thread", register),
            (workflows.DefaultWorkflow, "__call__", _watched_workflow(workflows.DefaultWorkflow, own, observer)),
            (history, "add_loss_centralized", _told_loss(history.add_loss_centralized, observer)),
            (history, "add_metrics_centralized", _told(history.add_metrics_centralized, observer)),
        ):
            stack.enter_context(_replaced(target, name, value))
        for module in [server, *_modules(folder)]:
            for name, value in _pooled(module, own.lockstep).items():
                stack.enter_context(_replaced(module, name, value))
        yield own
    if own.lost:
        raise FedliteError(_LOST)


# -- clients ----------------------------------------------------------------------------------------------------------


def _register(grid: LegacyGrid, of_app: Any, client_manager: Any) -> tuple[threading.Thread, ...]:
    """Register nodes whenever a client manager is asked, as Flower does, but not in a thread beside it."""
    utils: Any = importlib.import_module("flwr.server.compat.app_utils")
    ended, begun = threading.Event(), threading.Event()
    ended.set()
    del of_app
    # Told to end before it begins, Flower's loop only does what comes before its waiting.
    utils._update_client_manager(grid, client_manager, ended, begun)  # noqa: SLF001
    client_manager.wait_for = functools.partial(_wait_for, grid.fleet_grid, client_manager)
    idle = threading.Thread()
    idle.start()
    return idle, ended, begun  # type: ignore[return-value]


def _wait_for(grid: FleetGrid, client_manager: Any, num_clients: int, timeout: float = 86_400) -> bool:
    """Wait in virtual time until so many clients are available; False if too few are when `timeout` seconds are up."""
    until_s = grid.clock.now_s + timeout
    while client_manager.num_available() < num_clients:
        now_s = grid.clock.now_s
        if now_s >= until_s:
            return False
        if grid.fleet.next_change_s(now_s) < until_s:
            grid.wait()
        else:
            grid.sleep(until_s - now_s)
    return True


# -- what is told -----------------------------------------------------------------------------------------------------


def _watched_server(run_fl: Callable[..., Any], observer: compat.StartObserver) -> Callable[..., Any]:
    @functools.wraps(run_fl)
    def wrapper(server: Any, config: Any) -> Any:
        observer.begin(int(config.num_rounds), getattr(server, "strategy", None))
        history = run_fl(server=server, config=config)
        parameters = getattr(server, "parameters", None)
        tensors = getattr(parameters, "tensors", [])
        kind = getattr(parameters, "tensor_type", NUMPY)
        observer.end(_result(history, {str(i): _values(data, kind) for i, data in enumerate(tensors)}))
        return history

    return wrapper


def _watched_workflow(workflow: Any, own: LegacyGrid, observer: compat.StartObserver) -> Callable[..., None]:
    original = workflow.__call__

    @functools.wraps(original)
    def wrapper(self: Any, grid: Any, context: Any) -> None:
        rounds = int(getattr(getattr(context, "config", None), "num_rounds", 0))
        observer.begin(rounds, getattr(context, "strategy", None))
        original(self, own if grid is own.fleet_grid else grid, context)
        arrays = context.state.array_records.get(PARAMETERS, {})
        observer.end(
            _result(
                context.history,
                {key: _values(array.data, array.stype) for key, array in arrays.items() if array.data},
            )
        )

    return wrapper


def _told_loss(add: Callable[..., None], observer: compat.StartObserver) -> Callable[..., None]:
    @functools.wraps(add)
    def wrapper(self: Any, server_round: int, loss: float) -> None:
        observer.evaluated(server_round, {"loss": loss})
        add(self, server_round, loss)

    return wrapper


def _told(add: Callable[..., None], observer: compat.StartObserver) -> Callable[..., None]:
    @functools.wraps(add)
    def wrapper(self: Any, server_round: int, metrics: Mapping[str, Any]) -> None:
        observer.evaluated(server_round, metrics)
        add(self, server_round, metrics)

    return wrapper


def _result(history: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """Return a legacy run's history and model in the form of the `Result` that strategies return today."""
    return SimpleNamespace(
        arrays=ArrayRecord({key: Array(values) for key, values in arrays.items()}),
        train_metrics_clientapp=_by_round([], history.metrics_distributed_fit),
        evaluate_metrics_clientapp=_by_round(history.losses_distributed, history.metrics_distributed),
        evaluate_metrics_serverapp=_by_round(history.losses_centralized, history.metrics_centralized),
    )


def _by_round(losses: Iterable[tuple[int, float]], metrics: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for name, told in [("loss", losses), *metrics.items()]:
        for round_, value in told:
            found.setdefault(round_, {})[name] = value
    return found


def _values(data: bytes, kind: str) -> np.ndarray[Any, Any]:
    """Return a legacy tensor; what only the app can read, as its bytes."""
    if kind != NUMPY:
        return np.frombuffer(data, dtype=np.uint8)
    values: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return values


# -- names of other modules -------------------------------------------------------------------------------------------


@contextmanager
def _replaced(target: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


def _modules(folder: Path) -> list[ModuleType]:
    """Return the imported modules of an app."""
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder)
    ]


def _pooled(module: ModuleType, steps: lockstep.Lockstep) -> dict[str, Any]:
    """Return the names by which a module knows thread pools, with what stands in for each."""
    stand_ins = lockstep.pools(steps)
    futures = SimpleNamespace(**{**vars(concurrent.futures), **stand_ins})
    known = [(getattr(concurrent.futures, name), value) for name, value in stand_ins.items()]
    known += [(concurrent.futures, futures), (concurrent, SimpleNamespace(futures=futures))]
    return {name: stand_in for name, held in vars(module).items() for original, stand_in in known if held is original}
