"""`fedlite rollout`: plans of releases, before they are done."""

from __future__ import annotations

import typer

from fedlite.cli import rollout_power
from fedlite.cli.rollout_exchange import export_plan, import_plan

rollout_app = typer.Typer(help="Rollout plans: rehearse a fleet rollout before doing it.", no_args_is_help=True)
rollout_app.command("power")(rollout_power.power)
rollout_app.command("import")(import_plan)
rollout_app.command("export")(export_plan)
