"""`fedlite rollout`: everything that is done with a rollout plan. Without a word of its own it rehearses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from fedlite.cli import rollout_optimise, rollout_power, rollout_rehearse
from fedlite.cli.rollout_exchange import export_plan, import_plan

if TYPE_CHECKING:
    import click

_REHEARSE = "rehearse"


class _RehearsesPlans(TyperGroup):
    """A group in which a plan's name stands for the command that rehearses it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [_REHEARSE, *args]
        return super().parse_args(ctx, args)


rollout_app = typer.Typer(
    help="Rollout plans: rehearse a fleet rollout before doing it (`fedlite rollout PLAN.yaml`).",
    no_args_is_help=True,
    cls=_RehearsesPlans,
)
rollout_app.command(_REHEARSE)(rollout_rehearse.rehearse)
rollout_app.command("optimise")(rollout_optimise.optimise)
rollout_app.command("power")(rollout_power.power)
rollout_app.command("import")(import_plan)
rollout_app.command("export")(export_plan)
