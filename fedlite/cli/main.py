"""The command line: commands, options, exit codes; no logic."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import click
import typer

# Both phone home unless told otherwise; set here so that no import order can matter.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from fedlite import __version__, own_code
from fedlite.cli import app as app_command
from fedlite.cli import campaign as campaign_command
from fedlite.cli import cite as cite_command
from fedlite.cli import compress as compress_command
from fedlite.cli import console, stopping
from fedlite.cli import deploy as deploy_command
from fedlite.cli import doctor as doctor_command
from fedlite.cli import init as init_command
from fedlite.cli import report as report_command
from fedlite.cli import run as run_command
from fedlite.cli import schema as schema_command
from fedlite.cli import sweep as sweep_command
from fedlite.cli import validate as validate_command
from fedlite.cli import watch as watch_command
from fedlite.cli.data import data_app
from fedlite.cli.devices import devices_app
from fedlite.cli.privacy import privacy_app
from fedlite.cli.rollout import rollout_app
from fedlite.errors import FedliteError

app = typer.Typer(
    help="Federated on-device learning, simulated with real training, real bytes and a checked device model.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"fedlite {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    del version


app.command()(run_command.run)
app.command()(sweep_command.sweep)
app.command()(app_command.app)
app.command()(campaign_command.campaign)
app.command()(validate_command.validate)
app.command()(watch_command.watch)
app.command()(report_command.report)
app.command()(report_command.compare)
app.command()(compress_command.compress)
app.command()(deploy_command.deploy)
app.command()(init_command.init)
app.command()(schema_command.schema)
app.command()(schema_command.migrate)
app.command()(doctor_command.doctor)
app.command()(cite_command.cite)
app.add_typer(devices_app, name="devices")
app.add_typer(data_app, name="data")
app.add_typer(privacy_app, name="privacy")
app.add_typer(rollout_app, name="rollout")


PATH_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What the file system says of a path that the user gave; any other failure is a defect."""


def main() -> None:
    """Run the command line; a user's mistake is told in one line (or one per mistake), without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be text: what cannot be written is shown as its code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stopping.listen()
    console.set_help()
    try:
        with own_code.blamed(click.ClickException, click.Abort):
            code = app(standalone_mode=False)
    except FedliteError as error:
        print(error, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        code = stopping.INTERRUPTED
    except OSError as error:
        if error.errno not in PATH_ERRORS:
            raise
        print(
            f"{error.filename or 'a file'}: got '{error.strerror}', expected a place that can be read and written;"
            " choose another path, or make room",
            file=sys.stderr,
        )
        raise SystemExit(FedliteError.exit_code) from None
    if code == stopping.INTERRUPTED:  # which is also what typer makes of a stop
        print("Stopped.", file=sys.stderr)
        code = stopping.exit_code()
    raise SystemExit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
