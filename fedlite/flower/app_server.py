"""Running a ServerApp that fedlite did not write on the grid: seeded, in virtual time, with its results observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flwr.serverapp import ServerApp

from fedlite import own_code
from fedlite.errors import FedliteError
from fedlite.flower import compat, legacy
from fedlite.flower.app_dir import load_component
from fedlite.flower.app_time import AppCode, adopt, app_time
from fedlite.flower.app_worker import seeded
from fedlite.learning.training.threads import single_thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
        The app's directory: where its code sleeps or reads a clock, it is the fleet's time.
    observer : StartObserver
        Learns what the app's strategies do.
    seed : int
        Names the streams of what the app and Flower draw from process-wide generators.
    """
    context = compat.new_context(grid.run_id, compat.SUPERLINK_NODE_ID, {}, dict(run_config))
    exits = compat.exits()
    code = AppCode(folder)
    adopt(code)
    with (
        seeded(seed),
        single_thread(),
        compat.quiet_logs(),
        compat.cheap_collections(),
        compat.virtual_sleep(grid.wait),
        app_time(code, grid),
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
