"""A directory that is not a finished run of this version is refused with the reason."""

from __future__ import annotations

import json

import polars as pl
import pytest

from fedlite.errors import FedliteError
from fedlite.report.run_data import COLUMNS, NotARunError, read_run


def test_a_run_is_read_with_every_table(write_run):
    run = read_run(write_run(rounds=3))
    assert run.rounds.height == 3
    assert run.clients.collect().height == 3 * 12
    assert run.name == "watch-fleet"
    assert run.scenario.startswith("name:")


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(NotARunError, match="no such run directory"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["summary.json", "manifest.json", "scenario.yaml", *(f"{t}.parquet" for t in COLUMNS)])
def test_a_missing_file_is_named_with_the_remedy(write_run, name):
    path = write_run(rounds=1)
    (path / name).unlink()
    what = (
        "so the run has not finished; finish it" if name == "summary.json" else "though the run had finished; copy it"
    )
    with pytest.raises(FedliteError, match=f"{name}: no such file, {what}") as told:
        read_run(path)
    assert ("--resume" in str(told.value)) == (name == "summary.json")
    (path / "program.json").touch()
    with pytest.raises(FedliteError) as told:
        read_run(path)
    assert (f"--resume {path}" in str(told.value)) == (name != "scenario.yaml")


def test_a_missing_column_is_named(write_run):
    path = write_run(rounds=1)
    frame = pl.read_parquet(path / "clients.parquet").drop("radio_j", "metered")
    frame.write_parquet(path / "clients.parquet")
    with pytest.raises(NotARunError, match="lacks the columns radio_j, metered, so it is damaged or"):
        read_run(path)


def test_a_missing_key_of_the_summary_is_named(write_run):
    path = write_run(rounds=1)
    found = json.loads((path / "summary.json").read_text())
    del found["digest"]
    (path / "summary.json").write_text(json.dumps(found))
    with pytest.raises(NotARunError, match="lacks digest"):
        read_run(path)


def test_another_format_is_refused(write_run):
    path = write_run(rounds=1)
    found = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps(found | {"format": 99}))
    with pytest.raises(NotARunError, match="got format 99, expected 1; it was written by another version"):
        read_run(path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("summary.json", b"{", "summary.json: damaged: .* in line 1, column 2, expected JSON"),
        ("manifest.json", b"[]", "damaged: got list, expected a JSON object"),
        ("scenario.yaml", b"\xff", "not UTF-8 text"),
        ("rounds.parquet", b"no parquet at all", "damaged: not a Parquet file"),
    ],
)
def test_a_damaged_file_is_refused(write_run, name, content, told):
    path = write_run(rounds=1)
    (path / name).write_bytes(content)
    with pytest.raises(NotARunError, match=told):
        read_run(path)


def test_a_directory_may_have_a_name_that_looks_like_a_pattern(write_run):
    assert read_run(write_run("[a]*", rounds=2)).rounds.height == 2
