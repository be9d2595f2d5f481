"""`fedlite app`: run an existing Flower app on a simulated fleet, unmodified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlite.cli.following import Quiet, shown
from fedlite.cli.run import Accelerator, Backend, LogTo, tell
from fedlite.errors import FedliteError, UnitError

Fleet = Annotated[
    Path | None, typer.Option(help="Scenario whose fleet section the app runs on; left out with --resume.")
]
RunConfig = Annotated[
    str, typer.Option(help='Values of the app\'s config: "num-server-rounds=5 lr=0.1", or a TOML file.')
]
Macs = Annotated[
    list[str] | None,
    typer.Option(
        help="Multiply-accumulates of one job, where torch cannot count them (numpy): 2e6 for all that trains or"
        " tests, or by type of message, train=2e6 (repeatable)."
    ),
]
Memory = Annotated[str | None, typer.Option(help="Peak memory of one job, such as '120 MiB', instead of counting it.")]


def app(
    directory: Annotated[Path | None, typer.Argument(help="The app's directory; left out with --resume.")] = None,
    *,
    fleet: Fleet = None,
    run_config: RunConfig = "",
    backend: Backend = "auto",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Ray actors; default: one per processor, at most 8.")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster instead of starting one.")] = None,
    accelerator: Accelerator = "none",
    macs: Macs = None,
    memory: Memory = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed in place of the scenario's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default: the next free runs/APP-001.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the interrupted run in this directory.")] = None,
    log_to: LogTo = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON, last.")] = False,
) -> None:
    """Run a Flower app directory, unmodified, on the fleet of a scenario: virtual time, joules, bytes, failures."""
    from fedlite import runner as running
    from fedlite.flower.app_prices import Declared, declared_macs
    from fedlite.scenario.loader import load_fleet
    from fedlite.units import parse

    settings = running.Settings(
        backend=backend, actors=actors, ray_address=ray_address, accelerator=accelerator, log_to=tuple(log_to or ())
    )
    if resume is not None:
        if directory or fleet or run_config or macs or memory or out or seed is not None:
            raise FedliteError("--resume: got further options beside it; the run has its own already")
        finished = shown(as_json or quiet, lambda say: running.resume(resume, settings=settings, progress=say))
    else:
        if directory is None or fleet is None:
            raise FedliteError("app: got no directory or no --fleet; write 'fedlite app my-app --fleet scenario.yaml'")
        scenario = load_fleet(fleet, {} if seed is None else {"seed": str(seed)})
        try:
            memory_bytes = None if memory is None else parse(memory, "bytes")
        except UnitError as error:
            raise FedliteError(f"--memory: {error}") from error
        declared = None if not macs and memory is None else Declared(declared_macs(macs or []), memory_bytes)
        finished = shown(
            as_json or quiet,
            lambda say: running.run_app(
                directory, scenario, run_config=run_config, declared=declared, out=out, settings=settings, progress=say
            ),
        )
    tell(finished, as_json)
