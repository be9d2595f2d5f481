"""`fedlite data`: which datasets there are, under which licence, how to get one, and what is in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from fedlite.learning.data.store import Stored

data_app = typer.Typer(help="Datasets: list them, fetch one, show what is in one.", no_args_is_help=True)

OWN = """\
Your own: 'data: {csv: FILE, label: COLUMN, client: COLUMN}', '{npz: FILE}',
'idx:FOLDER' or 'pkg.mod:factory'."""
"""What `data list` says below its table."""

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
    print(OWN)


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


@data_app.command("show")
def show_data(
    what: Annotated[str, typer.Argument(help="A dataset's name, a scenario, or a .csv or .npz file.")],
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Show what is in a dataset, in that of a scenario, or in a file that is to become one."""
    from fedlite.learning.data import facts
    from fedlite.learning.data.load import load

    path = Path(what)
    if path.suffix in (".csv", ".npz"):
        rows = facts.of_csv(path) if path.suffix == ".csv" else facts.of_npz(path)
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            _print_rows(rows, path)
        return
    if path.suffix in (".yaml", ".yml"):
        from fedlite.scenario.loader import load_scenario

        found = facts.of_dataset(load(load_scenario(path).task.source, root))
    else:
        found = facts.of_dataset(load(what, root))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        shown = ", ".join(f"{key} {inner:g}" for key, inner in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):<17} {shown}")


def _print_rows(rows: list[dict[str, Any]], path: Path) -> None:
    from rich.table import Table

    table = Table(title=str(path))
    for key in rows[0] if rows else ():
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(str(value).replace("[", r"\[") for value in row.values()))
    terminal().print(table)


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
