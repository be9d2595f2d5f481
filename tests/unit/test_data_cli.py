"""`fedlite data list` and `fedlite data fetch`."""

from __future__ import annotations

import json

import numpy as np
from typer.testing import CliRunner

from fedlite.cli.data import data_app
from fedlite.errors import UnknownNameError
from fedlite.learning.data.cache import prepared_path, write_arrays
from fedlite.learning.data.catalog import CATALOG


def run(*arguments):
    return CliRunner().invoke(data_app, [*arguments])


def test_the_list_tells_licence_size_and_whether_it_is_here(tmp_path):
    write_arrays(prepared_path(CATALOG["watch"], tmp_path), {"x": np.arange(3)})
    records = {row["name"]: row for row in json.loads(run("list", "--json", "--root", str(tmp_path)).stdout)}
    assert set(records) == set(CATALOG)
    assert records["watch"]["fetched"]
    assert records["watch"]["path"].startswith(str(tmp_path))
    assert records["watch"]["natural_clients"] == 20
    assert not records["mnist"]["fetched"]
    assert records["mnist"]["path"] is None
    assert records["digits"]["fetched"]
    assert all(row["licence"] for row in records.values())


def test_the_table_names_every_dataset_and_the_folder(tmp_path):
    shown = run("list", "--root", str(tmp_path)).stdout
    assert all(name in shown for name in CATALOG)
    assert "not fetched" in shown


def test_fetching_what_is_built_in_needs_nothing(tmp_path):
    done = run("fetch", "digits", "--root", str(tmp_path))
    assert done.exit_code == 0
    assert "nothing to fetch" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_fetching_again_reports_where_it_is(tmp_path):
    path = prepared_path(CATALOG["watch"], tmp_path)
    write_arrays(path, {"x": np.arange(3)})
    record = json.loads(run("fetch", "watch", "--json", "--root", str(tmp_path)).stdout)
    assert record["path"] == str(path)
    assert record["fetched_now"] is False


def test_an_unknown_dataset_is_refused(tmp_path):
    done = run("fetch", "wach", "--root", str(tmp_path))
    assert isinstance(done.exception, UnknownNameError)
