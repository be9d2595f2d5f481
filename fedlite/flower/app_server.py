"""Running a ServerApp that fedlite did not write on the grid: seeded, in virtual time, with its results observed."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from flwr.serverapp import ServerApp

from fedlite import own_code
from fedlite.errors import FedliteError
from fedlite.flower import compat, legacy
from fedlite.flower.app_dir import load_component
from fedlite.flower.app_worker import seeded
from fedlite.learning.training.threads import single_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fedlite.flower.grid import FleetGrid


def load_server(reference: str, folder: Path) -> ServerApp:
    """Import a ServerApp.

    Raises
    ------
    FedliteError
        If it is none.
    """
    app = load_component(reference, folder)
    if not isinstance(app, ServerApp):
        raise FedliteError(
            f"{reference}: got a {type(app).__name__}, expected a flwr.serverapp.ServerApp; name the ServerApp object"
        )
    return app


def serve_app(
    grid: FleetGrid,
    app: ServerApp,
    run_config: Mapping[str, Any],
    folder: Path,
    observer: compat.StartObserver,
    seed: int,
) -> None:
    """Run a ServerApp from beginning to end.

    Parameters
    ----------
    grid : FleetGrid
    app : ServerApp
    run_config : mapping
    folder : Path
        The app's directory; where its code sleeps, virtual time passes instead.
    observer : StartObserver
        Learns what the app's strategies do.
    seed : int
        Names the streams of what the app and Flower draw from process-wide generators.
    """
    context = compat.new_context(grid.run_id, compat.SUPERLINK_NODE_ID, {}, dict(run_config))
    exits = compat.exits()
    with (
        seeded(seed),
        single_thread(),
        compat.quiet_logs(),
        compat.cheap_collections(),
        compat.virtual_sleep(grid.wait),
        virtual_naps(folder, grid.sleep),
        compat.observed_starts(observer),
        legacy.served(grid, folder, observer) as older,
    ):
        try:
            app(older if legacy.is_legacy(app) else grid, context)
        except exits as error:
            raise FedliteError(f"server app: {type(error).__name__}: {error}") from error
        except FedliteError:
            raise
        except (Exception, SystemExit) as error:
            raise FedliteError(
                f"server app: it raised {own_code.raised(error)}; mend the app, or see whether its config is right"
            ) from error
    grid.finish()


@contextmanager
def virtual_naps(folder: Path, nap: Callable[[float], None]) -> Iterator[None]:
    """Make `time.sleep` pass virtual time where code under a folder calls it; everybody else really sleeps."""
    real = time.sleep

    def sleep(seconds: float | SupportsIndex) -> None:
        # Who calls is what decides.
        caller = sys._getframe(1).f_globals.get("__file__")  # noqa: SLF001  (the documented way to see one's caller)
        if caller and Path(caller).resolve().is_relative_to(folder):
            nap(float(seconds))
        else:
            real(float(seconds))

    # Modules that say `from time import sleep` hold the function itself.
    held = [
        (vars(module), name)
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder)
        for name, value in vars(module).items()
        if value is real
    ]
    time.sleep = sleep
    for names, name in held:
        names[name] = sleep
    try:
        yield
    finally:
        time.sleep = real
        for names, name in held:
            names[name] = real
