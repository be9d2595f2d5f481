"""`fedlite data`: which datasets there are, under which licence, and how to get one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from fedlite.learning.data.store import Stored

data_app = typer.Typer(help="Datasets: list them, fetch one.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Folder of datasets; default $FEDLITE_DATA, else ~/.cache/fedlite.")
]


@data_app.command("list")
def list_datasets(as_json: AsJson = False, root: Root = None) -> None:
    """Show every dataset with its licence, its natural clients, and whether it is on this machine."""
    from fedlite.learning.data.cache import data_dir
    from fedlite.learning.data.catalog import CATALOG
    from fedlite.learning.data.store import stored

    rows = [stored(name, root) for name in CATALOG]
    if as_json:
        typer.echo(json.dumps([_record(row) for row in rows], indent=2))
        return
    _print_table(rows, data_dir(root))


@data_app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A name that 'fedlite data list' shows, such as 'watch'.")],
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Fetch a dataset, check its hashes and keep it as plain arrays."""
    from fedlite import units
    from fedlite.learning.data.store import ensure, stored

    before = stored(name, root)
    if not before.ready and not as_json:
        size = units.show(before.entry.download_bytes, "bytes")
        typer.echo(f"Fetching {before.entry.name} ({size}) from {before.entry.registry} ...")
    after = ensure(name, root)
    if as_json:
        typer.echo(json.dumps(_record(after) | {"fetched_now": not before.ready}, indent=2))
        return
    where = after.path or "inside scikit-learn, nothing to fetch"
    typer.echo(f"{after.entry.name}: {where}")
    typer.echo(f"Licence: {after.entry.licence}")


def _record(row: Stored) -> dict[str, Any]:
    return {
        "name": row.entry.name,
        "title": row.entry.title,
        "natural_clients": row.entry.natural_clients,
        "licence": row.entry.licence,
        "source": row.entry.source,
        "registry": row.entry.registry,
        "package": row.entry.package,
        "version": row.entry.version,
        "sha256": row.entry.sha256,
        "download_bytes": row.entry.download_bytes,
        "fetched": row.ready,
        "path": str(row.path) if row.path else None,
        "disk_bytes": row.size_bytes,
    }


def _print_table(rows: list[Stored], folder: Path) -> None:
    from rich.table import Table

    from fedlite import units

    table = Table(title="Datasets", caption=f"on disk in {folder}; 0 clients: every split is synthetic")
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("what", overflow="fold")
    table.add_column("natural\nclients", justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    table.add_column("download", justify="right", no_wrap=True)
    table.add_column("on disk", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.entry.name,
            row.entry.title,
            str(row.entry.natural_clients),
            row.entry.licence,
            units.show(row.entry.download_bytes, "bytes") if row.entry.archive else "none",
            _where(row),
        )
    terminal().print(table)


def _where(row: Stored) -> str:
    from fedlite import units

    if row.path:
        return units.show(row.size_bytes, "bytes")
    return "built in" if row.ready else "not fetched"
