"""`fedlite rollout`: plans of releases, before they are done."""

from __future__ import annotations

import typer

from fedlite.cli import rollout_power

rollout_app = typer.Typer(help="Rollouts: what a gate can see of a bad release.", no_args_is_help=True)
rollout_app.command("power")(rollout_power.power)
