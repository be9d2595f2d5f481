"""Whatever happened to a run directory: `report` and `compare` say it in one line, or are right. Never a traceback."""

import json
import os
import random
import shutil
import traceback

import pytest
from typer.testing import CliRunner

from fedlite import own_code, run
from fedlite.cli.main import PATH_ERRORS, app
from fedlite.errors import FedliteError
from fedlite.report.run_data import NotARunError, read_run
from fedlite.runner import Settings, resume
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: small
seed: 3
fleet: {devices: 8, mix: consumer-phones}
task: {data: digits, model: mlp}
training: {rounds: 2, clients_per_round: 3}
"""
FILES = ("summary.json", "manifest.json", "program.json", "scenario.yaml", "rounds.parquet", "clients.parquet")
FILES += ("evaluation.parquet", "fleet.parquet", "model.safetensors", "report.html")
FLIPS = 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return run(
        parse_scenario(SCENARIO), out=tmp_path_factory.mktemp("runs") / "sound", settings=Settings(backend="local")
    ).path


@pytest.fixture
def damaged(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "damaged")


def told(*words):
    """Run a command as the command line does: what a user's mistake may raise is no traceback."""
    with own_code.blamed():
        done = CliRunner().invoke(app, [str(word) for word in words])
    error = done.exception
    if error is None or isinstance(error, SystemExit):
        return done.exit_code
    if isinstance(error, OSError) and error.errno in PATH_ERRORS:
        return 2
    assert isinstance(error, FedliteError), "".join(traceback.format_exception(error))
    assert len(str(error).splitlines()) == 1, str(error)
    return error.exit_code


def judge(damaged, sound, tmp_path):
    # As text and as JSON, each by one of the two: both read a run by the same door.
    codes = {told("report", damaged, "--json"), told("compare", damaged, sound, "--out", tmp_path / "c.html")}
    assert codes <= {0, 2}, codes
    return codes


def test_a_sound_run_is_told(damaged, sound, tmp_path):
    assert judge(damaged, sound, tmp_path) == {0}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "way", ["missing", "empty", "half", "binary", "{}", "[]", "null", "1", '"x"', "folder", "loop", "pipe"]
)
def test_a_damaged_file_is_told_in_one_line(damaged, sound, tmp_path, name, way):
    path = damaged / name
    content = path.read_bytes()
    path.unlink()
    match way:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "binary":
            path.write_bytes(bytes(range(256)) * 8)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "pipe":
            os.mkfifo(path)
        case text:
            path.write_text(text, encoding="utf-8")
    codes = judge(damaged, sound, tmp_path)
    if name in ("summary.json", "rounds.parquet", "clients.parquet", "evaluation.parquet", "fleet.parquet"):
        assert codes == {2}


WRITTEN_LAST = ("clients.parquet", "evaluation.parquet", "fleet.parquet", "rounds.parquet", "manifest.json")
WRITTEN_LAST += ("summary.json", "model.safetensors")


@pytest.mark.parametrize("name", WRITTEN_LAST)
@pytest.mark.parametrize("way", ["missing", "half"])
def test_a_finished_run_that_lost_a_file_says_so_and_resuming_makes_it_again(damaged, sound, caplog, name, way):
    content = (damaged / name).read_bytes()
    (damaged / name).unlink()
    if way == "half":
        (damaged / name).write_bytes(content[: len(content) // 2])
    if name != "model.safetensors":
        with pytest.raises(NotARunError, match=rf"--resume {damaged}$") as told:
            read_run(damaged)
        assert str(told.value).startswith(f"{damaged / name}: ")
        unfinished = (name, way) == ("summary.json", "missing")
        what = "has not finished" if unfinished else "had finished" if way == "missing" else "damaged: "
        assert what in str(told.value)
        assert "version" not in str(told.value)
    again = resume(damaged, settings=Settings(backend="local"))
    assert ("trained again" in caplog.text) == ((name, way) != ("summary.json", "missing"))
    whole = json.loads((sound / "summary.json").read_text(encoding="utf-8"))
    assert again.summary["digest"] == whole["digest"]
    assert (damaged / "model.safetensors").read_bytes() == (sound / "model.safetensors").read_bytes()
    assert judge(damaged, sound, damaged.parent) == {0}
    written = (damaged / name).stat().st_mtime_ns
    resume(damaged, settings=Settings(backend="local"))
    assert (damaged / name).stat().st_mtime_ns == written


@pytest.mark.parametrize("way", ["missing", "half"])
@pytest.mark.parametrize("also", ["clients.parquet", "model.safetensors", None])
def test_a_finished_run_that_cannot_be_trained_again_keeps_what_it_has(damaged, way, also):
    program = damaged / "program.json"
    content = program.read_bytes()
    program.unlink()
    if way == "half":
        program.write_bytes(content[: len(content) // 2])
    if also:
        (damaged / also).unlink()
    before = {path.name: path.read_bytes() for path in damaged.iterdir()}
    with pytest.raises(FedliteError, match=r"program\.json.*another --out"):
        resume(damaged, settings=Settings(backend="local"))
    assert {path.name: path.read_bytes() for path in damaged.iterdir()} == before
    if also == "clients.parquet":
        with pytest.raises(NotARunError, match="though the run had finished; copy it back, or"):
            read_run(damaged)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(FLIPS))
def test_flipped_bytes_are_told_in_one_line_or_change_nothing_that_is_read(damaged, sound, tmp_path, name, seed):
    drawn = random.Random(f"{name} {seed}")
    content = bytearray((damaged / name).read_bytes())
    for _ in range(drawn.choice((1, 1, 20))):
        content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    (damaged / name).write_bytes(content)
    judge(damaged, sound, tmp_path)


def wrong():
    """Every way in which one place of a JSON value may be of another type."""
    yield from (None, [], {}, "text", -1, 1e308, True, [1], {"a": {"b": []}})


@pytest.mark.parametrize("name", ["summary.json", "manifest.json"])
def test_values_of_other_types_are_told_in_one_line(damaged, name):
    good = json.loads((damaged / name).read_text(encoding="utf-8"))
    drawn = random.Random(1)
    for key in good:
        for other in drawn.sample(list(wrong()), 1):
            (damaged / name).write_text(json.dumps({**good, key: other}), encoding="utf-8")
            assert told("report", damaged, "--json") in (0, 2), (key, other)


@pytest.mark.parametrize("name", ["rounds", "clients", "evaluation", "fleet"])
def test_columns_that_are_gone_or_of_other_types_are_told_in_one_line(damaged, sound, tmp_path, name):
    import polars as pl

    path = damaged / f"{name}.parquet"
    good, drawn = pl.read_parquet(path), random.Random(name)
    ways = [
        good.drop,
        lambda key: good.with_columns(pl.lit("x").alias(key)),
        lambda key: good.with_columns(pl.lit(None).alias(key)),
    ]
    ways.append(lambda key: good.with_columns(pl.lit([1.0]).alias(key)))
    for key in good.columns:
        for way in drawn.sample(ways, 1):
            way(key).write_parquet(path)
            assert told("report", damaged) in (0, 2), key
    good.clear().write_parquet(path)
    judge(damaged, sound, tmp_path)
