"""Data in files of the user's own: CSV and npz become datasets, and what is wrong in one is told by its place."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from fedlite import resume, run
from fedlite.cli.data import show_data
from fedlite.cli.run import run as run_command
from fedlite.cli.validate import validate
from fedlite.compose.learning import prepare
from fedlite.errors import DataUnavailableError, FedliteError, InvalidFileError
from fedlite.learning.data import characters, columns, load
from fedlite.learning.data.catalog import lookup
from fedlite.learning.data.csv_file import CsvFile
from fedlite.learning.data.dataset import DatasetError
from fedlite.learning.data.npz_file import NpzFile
from fedlite.runner import Settings
from fedlite.scenario.loader import load_scenario, parse_scenario

SCENARIO = """
name: own
seed: 3
fleet: {{devices: 4, mix: {{pixel-8: 1.0}}}}
task: {{data: {data}, partition: {partition}, model: {model}}}
training: {{rounds: 3, clients_per_round: 4, local: {{epochs: 1, batch_size: 8, lr: 0.05}}}}
"""
ROOMS = ("bath", "hall", "kitchen")


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def homes(tmp_path):
    """Four homes of ten readings each; comfort follows from the temperature."""
    rows = [(f"home-{i % 4}", 15 + i // 4, 40 + i, ROOMS[i % 3], "good" if i // 4 > 4 else "bad") for i in range(40)]
    return table(tmp_path / "homes.csv", ("home", "temp", "humidity", "room", "comfort"), rows)


def written(folder, data, partition="natural", model="mlp"):
    path = folder / "own.yaml"
    path.write_text(SCENARIO.format(data=data, partition=partition, model=model), encoding="utf-8")
    return path


def test_columns_of_numbers_are_inputs_and_kinds_become_one_input_each(homes):
    data = CsvFile(homes, label="comfort", client="home", one_hot=("room",), standardise=False).read()
    assert data.input_shape == (5,)
    assert data.class_names == ("bad", "good")
    assert data.client_names == ("home-0", "home-1", "home-2", "home-3")
    row = int(np.flatnonzero(data.x_train[:, 1] == 45)[0])  # reading 5: home-1, 16 degrees, kitchen
    assert data.x_train[row].tolist() == [16, 45, 0, 0, 1]
    assert (data.y_train[row], data.client_train[row]) == (0, 1)


def test_a_share_of_each_clients_rows_is_the_test_and_the_same_each_time(homes):
    file = CsvFile(homes, label="comfort", client="home", one_hot=("room",), test=0.3)
    one, other = file.read(), file.read()
    assert np.bincount(one.client_test).tolist() == [3, 3, 3, 3]
    assert np.array_equal(one.x_test, other.x_test)
    assert one.standardised
    assert np.allclose(one.x_train.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(one.x_train.std(axis=0), 1, atol=1e-4)


def test_a_client_of_one_row_trains_on_it(tmp_path):
    path = table(tmp_path / "few.csv", ("who", "x", "y"), [("a", 1, 0), *(("b", i, i % 2) for i in range(8))])
    data = CsvFile(path, label="y", client="who", test=0.6).read()
    assert np.bincount(data.client_train).tolist() == [1, 3]
    assert 0 not in data.client_test


def test_a_column_may_say_which_rows_are_the_test(tmp_path):
    rows = [(i, i % 2, "test" if i >= 6 else "train") for i in range(8)]
    data = CsvFile(table(tmp_path / "t.csv", ("x", "y", "part"), rows), label="y", test_column="part").read()
    assert (len(data.y_train), len(data.y_test), data.input_shape) == (6, 2, (1,))
    plain = CsvFile(tmp_path / "t.csv", label="y", test_column="part", standardise=False).read()
    assert plain.x_test[:, 0].tolist() == [6, 7]


def test_pixel_columns_are_pictures_row_by_row(tmp_path):
    rows = [(i % 3, *(10 * i + p for p in range(6))) for i in range(9)]
    path = table(tmp_path / "p.csv", ("digit", *(f"p{p}" for p in range(6))), rows)
    data = CsvFile(path, label="digit", shape=(1, 2, 3), standardise=False).read()
    assert data.input_shape == (1, 2, 3)
    first = data.x_train[0, 0]
    assert (first - first[0, 0]).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_columns_of_numbers_are_targets(homes):
    data = CsvFile(homes, targets=("temp", "humidity"), client="home", one_hot=("room", "comfort")).read()
    assert (data.objective, data.num_classes, data.y_train.dtype) == ("regression", 2, np.float32)
    assert data.y_train.min() >= 15


def test_text_is_windows_of_characters_and_the_one_that_follows(tmp_path):
    rows = [("a", "abcdefghij"), ("b", "zyxwvutsrq"), ("a", "klmnopqrst")]
    path = table(tmp_path / "chat.csv", ("who", "said"), rows)
    data = CsvFile(path, text="said", client="who", context=2, alphabet="abcdefghijklmnopqrstuvwxyz", test=0.4).read()
    assert (data.objective, data.num_classes, data.input_shape) == ("next-character", 27, (2,))
    # Of a: 'abcdefghij\nklmnopqrst', the first three fifths to train on; a line break is no letter, so of class 0.
    of_a = data.x_train[data.client_train == 0].tolist(), data.y_train[data.client_train == 0].tolist()
    assert of_a == ([[1, 2], [0, 11]], [3, 12])
    assert data.x_train[data.client_train == 1].tolist() == [[26, 25]]
    assert data.x_test[data.client_test == 0].tolist() == [[13, 14]]


def test_characters_of_an_alphabet_are_classes_and_all_others_are_one():
    assert characters.encode("bä€\n", "ab\n").tolist() == [2, 0, 0, 3]


@pytest.mark.parametrize(
    ("rows", "options", "text"),
    [
        ([("a", 1, 0), ("b", "n/a", 1)], {}, "row 2, column 'x': got 'n/a', expected a number"),
        ([("a", 1, 0), ("b", "", 1)], {}, "row 2, column 'x': got nothing, expected a number"),
        ([("a", 1, 0), ("b", "inf", 1)], {}, "row 2, column 'x': got 'inf'"),
        ([("a", 1, 0), ("b", 2, "")], {}, "row 2, column 'y': got nothing, expected a value"),
        ([("", 1, 0), ("b", 2, 1)], {"client": "who"}, "row 1, column 'who': got nothing"),
        ([("a", 1, 0), ("b", 2, 0)], {}, "got '0' alone, expected at least two classes"),
        ([("a", 1, 0), ("b", 2, 1, 7)], {}, "row 2: got 4 cells, expected 3, one for each name"),
        ([("a", 1, 0), ("b", 2, 1)], {"features": ("z",)}, "features: got 'z', expected a column out of who, x, y"),
        ([("a", 1, 0), ("b", 2, 1)], {"shape": (2, 2)}, r"shape: got \[2, 2\], which is 4 numbers"),
        ([("a", 1, 0), ("b", 2, 1)], {"test": 0.01}, "got 0 test rows of 2"),
        (
            [("a", 1, 0), ("maybe", 2, 1)],
            {"test_column": "who"},
            "row 1, column 'who': got 'a', expected train or test",
        ),
        ([], {}, "got no row below the names"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_by_row_and_column(tmp_path, rows, options, text):
    path = table(tmp_path / "bad.csv", ("who", "x", "y"), rows)
    options = {"features": ("x",), **options}
    with pytest.raises(DatasetError, match=text) as caught:
        CsvFile(path, label="y", **options).read()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "with 0 names"),
        (b"a,,c\n1,2,3\n", "one of them empty"),
        (b"a,b,a\n1,2,3\n", "the column 'a' twice"),
        (b"a,b\n1,\xff\xfe\n", "expected UTF-8"),
        (
            b"a;b\n1;2\n",
            "one column 'a;b', expected names with commas between; save the file with commas in place of sem",
        ),
        (b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 900, "^.*: row 2: got .{0,150}$"),
        (b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 90_000, "^.*: row 2: got .{0,150}$"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, raw, text):
    path = tmp_path / "bad.csv"
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match=text):
        CsvFile(path, label="b").read()


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path, homes, monkeypatch):
    with pytest.raises(DataUnavailableError, match="got no file"):
        CsvFile(tmp_path / "none.csv", label="y").read()
    monkeypatch.setattr(columns, "MOST_BYTES", 10)
    with pytest.raises(DatasetError, match="expected at most 10, which are held in memory"):
        CsvFile(homes, label="comfort").read()


def test_too_many_kinds_are_taken_for_numbers(tmp_path):
    path = table(tmp_path / "many.csv", ("x", "price"), [(i, i / 7) for i in range(columns.MOST_CLASSES + 1)])
    with pytest.raises(DatasetError, match=r"got 1001 values, expected at most 1000 kinds; .*targets: \[price\]"):
        CsvFile(path, label="price").read()


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "pictures.npz"
    np.savez(path, x=rng.integers(0, 255, (40, 8, 8), np.uint8), y=np.arange(40) % 4, user=np.arange(40) % 5)
    return path


def test_arrays_are_a_dataset(pictures):
    data = load(NpzFile(pictures, client="user", shape=(1, 8, 8)))
    assert (data.input_shape, data.num_classes, data.natural_clients) == ((1, 8, 8), 4, 5)
    assert (len(data.y_train), len(data.y_test)) == (30, 10)
    assert data.standardised


def test_arrays_of_a_test_are_the_test(tmp_path):
    path = tmp_path / "a.npz"
    x = np.arange(12.0).reshape(6, 2)
    np.savez(path, x=x, y=np.array(list("ababab")), x_test=x[:2] + 100, y_test=np.array(["b", "a"]))
    data = NpzFile(path, standardise=False).read()
    assert data.x_test.tolist() == [[100, 101], [102, 103]]
    assert (data.class_names, data.y_test.tolist()) == (("a", "b"), [1, 0])


def test_arrays_may_hold_numbers_to_learn_or_characters(tmp_path):
    np.savez(tmp_path / "n.npz", x=np.ones((6, 3)), y=np.linspace(0, 1, 6))
    assert (NpzFile(tmp_path / "n.npz").read().objective, NpzFile(tmp_path / "n.npz").read().num_classes) == (
        "regression",
        1,
    )
    np.savez(tmp_path / "c.npz", x=np.arange(30).reshape(6, 5), y=np.arange(6))
    text = NpzFile(tmp_path / "c.npz", text=True).read()
    assert (text.objective, text.num_classes, text.x_train.dtype) == ("next-character", 30, np.float32)


@pytest.mark.parametrize(
    ("arrays", "options", "text"),
    [
        ({"x": np.ones((4, 2))}, {}, "got no array 'y', expected it among x"),
        ({"x": np.ones((4, 2)), "y": np.arange(3)}, {}, "array y: got 3 rows, expected 4"),
        ({"x": np.ones((4, 2)), "y": np.array([object()] * 4)}, {}, "got no npz file of plain arrays"),
        ({"x": np.array([[1.0], [np.nan]]), "y": np.arange(2)}, {}, r"array x\[1\]: got a value that is not finite"),
        ({"x": np.ones((4, 2)), "y": -np.arange(4)}, {}, "expected whole numbers from 0 on"),
        ({"x": np.ones((4, 2)), "y": np.arange(4) * 999}, {}, "got the class 2997, expected below 1000"),
        ({"x": np.ones(4), "y": np.arange(4)}, {}, r"expected numbers of shape \(rows, ...\)"),
        ({"x": np.ones((4, 2)), "y": np.arange(4), "x_test": np.ones((1, 2))}, {}, "x_test and no y_test"),
        (
            {"x": np.ones((4, 2)), "y": np.arange(4), "x_test": np.ones((1, 3)), "y_test": np.arange(1)},
            {},
            r"bad.npz: array x_test: got fractions in rows of shape \(3,\), expected .* of shape \(2,\), as x has",
        ),
        (
            {"x": np.ones((4, 2)), "y": np.arange(4), "x_test": np.ones((1, 2)), "y_test": np.array(["1"])},
            {},
            "array y_test: got text .*, expected whole numbers",
        ),
        ({"x": np.ones((4, 2)), "y": np.arange(4)}, {"client": "who"}, "got no array 'who'"),
        ({"x": np.ones((4, 2)), "y": np.arange(4)}, {"text": True}, "expected character numbers"),
    ],
)
def test_what_is_wrong_in_arrays_is_told(tmp_path, arrays, options, text):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=text):
        NpzFile(path, **options).read()


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(b"\x80\x04N.")  # a pickle
    with pytest.raises(DatasetError, match="got no npz file of plain arrays"):
        NpzFile(path).read()


@pytest.mark.parametrize(
    ("data", "partition", "text"),
    [
        ("{csv: none.csv, label: y}", "iid", r"task.data.csv: got the data 'none.csv', which is not there; put it at"),
        ("{csv: homes.csv, label: confort}", "iid", "task.data.label: got 'confort', .*write 'comfort'"),
        ("{csv: homes.csv}", "iid", "task.data: got no label, expected one thing to learn"),
        ("{csv: homes.csv, label: room, text: room}", "iid", "got label and text, expected one"),
        ("{csv: homes.csv, label: room, client: room}", "iid", "task.data.client: got the column 'room' as label and"),
        ("{csv: homes.csv, text: room, shape: [2]}", "iid", "task.data.shape: got shape beside text"),
        ("{csv: homes.csv, label: room, test: 100 %}", "iid", "task.data.test: got '100 %'"),
        ("{cvs: homes.csv, label: room}", "iid", "task.data: got a section with 'cvs', 'label', expected a file"),
        ("{csv: homes.csv, lable: room, label: room}", "iid", "task.data.lable: got an unknown key.*write 'label'"),
        (
            "{csv: homes.csv, label: comfort}",
            "natural",
            "task.partition: got 'natural' with 'homes.csv', which records",
        ),
        ("7", "iid", "task.data: got 7, expected a name or a file"),
    ],
)
def test_what_a_scenario_says_of_a_file_is_checked_before_it_is_read(homes, data, partition, text):
    with pytest.raises(InvalidFileError, match=text):
        load_scenario(written(homes.parent, data, partition))


def test_the_scenario_as_written_means_the_same_file_from_anywhere(homes, tmp_path):
    from fedlite.scenario.dump import dump_scenario

    scenario = load_scenario(written(tmp_path, "{csv: homes.csv, label: comfort, client: home, test: 25 %}"))
    again = parse_scenario(dump_scenario(scenario))
    assert again == scenario
    assert again.task.source == CsvFile(homes, label="comfort", client="home", test=0.25)


@pytest.mark.parametrize(
    ("data", "model", "metric"),
    [
        ("{csv: homes.csv, label: comfort, client: home, one_hot: [room]}", "mlp", "accuracy"),
        ("{csv: homes.csv, targets: [temp], client: home, features: [humidity]}", "mlp", "rmse"),
        ("{npz: pictures.npz, client: user, shape: [1, 8, 8]}", "{name: cnn, width: 0.1}", "accuracy"),
        ("{csv: homes.csv, text: room, client: home, context: 10}", "{name: char-lstm, width: 0.1}", "perplexity"),
    ],
)
def test_a_run_learns_from_a_file_beside_its_scenario(homes, pictures, tmp_path, monkeypatch, data, model, metric):
    monkeypatch.chdir("/")
    path = written(tmp_path, data, model=model)
    chosen = load_scenario(path, {"training.rounds": "1"})
    done = run(chosen, out=tmp_path / "out", settings=Settings(backend="local"))
    assert done.summary["main_metric"]["name"] == metric
    assert "people" in done.summary["scored_on"]


def test_a_resumed_run_refuses_a_changed_file(homes, tmp_path):
    # A test row's cell alone: the workers train on the same numbers.
    path = written(tmp_path, "{csv: homes.csv, label: comfort, client: home, features: [temp]}")

    def stop(now):
        if now.round_ == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, out=tmp_path / "out", settings=Settings(backend="local"), progress=stop)
    homes.write_text(homes.read_text(encoding="utf-8").replace("hall", "attic", 1), encoding="utf-8")
    with pytest.raises(FedliteError, match=f"the data {homes} was edited"):
        resume(tmp_path / "out", settings=Settings(backend="local"))


@pytest.mark.parametrize(
    ("data", "model", "more", "told"),
    [
        (
            "{csv: homes.csv, client: home, label: comfort, one_hot: [room]}",
            "mlp",
            "",
            r"own.yaml:5:14: task.data: .*row 3, column 'temp'",
        ),
        ("{csv: pixels.csv, label: y}", "cnn", "", r"own.yaml:5:\d+: task.model: .*say in task.data which 'shape'"),
        (
            "{csv: pixels.csv, label: y}",
            "mlp",
            ", evaluate_on: 1000",
            r"own.yaml:6:\d+: training.evaluate_on: got 1000, expected at most the 8 test rows",
        ),
    ],
)
def test_what_only_reading_data_tells_is_told_by_validate_and_run(homes, capsys, data, model, more, told):
    table(homes.parent / "pixels.csv", ("a", "b", "y"), [(i, -i, i % 2) for i in range(40)])
    homes.write_text(homes.read_text().replace("home-2,15,", "home-2,warm,"))
    path = written(homes.parent, data, "iid", model)
    path.write_text(path.read_text().replace("rounds: 3", f"rounds: 3{more}"))
    with pytest.raises(SystemExit) as left:
        validate(path)
    assert left.value.code == 2
    assert re.search(told, capsys.readouterr().out)
    if "homes" not in data:  # which names its own place
        with pytest.raises(InvalidFileError, match=told):
            run_command(path, out=homes.parent / "out", quiet=True)
    study = homes.parent / "study.yaml"
    study.write_text("name: s\nbase: own.yaml\n")
    with pytest.raises(SystemExit):
        validate(study)
    assert re.search(told, capsys.readouterr().out)


def test_rows_of_classes_that_nobody_trains_on_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((20, 3)), y=np.arange(20) % 3, x_test=np.ones((7, 3)), y_test=np.arange(7))
    learning = prepare(load_scenario(written(tmp_path, "{npz: a.npz}", "iid")))
    assert learning.scored_on == "7 test rows, 4 of them of classes that no training row has (3, 4, 5, 6)"
    np.savez(
        tmp_path / "a.npz", x=np.ones((20, 3)), y=np.arange(20) % 3, x_test=np.ones((7, 3)), y_test=np.zeros(7, int)
    )
    assert prepare(load_scenario(written(tmp_path, "{npz: a.npz}", "iid"))).scored_on == ""


def test_no_more_rows_are_tested_on_than_a_dataset_has():
    text = SCENARIO.format(data="digits", partition="iid", model="mlp").replace(
        "rounds: 3", "rounds: 3, evaluate_on: 1000"
    )
    with pytest.raises(
        InvalidFileError, match=r":6:\d+: training.evaluate_on: got 1000, expected at most the 359 test"
    ):
        parse_scenario(text)
    for name in ("digits", "digit-scenes"):
        assert len(load(name).y_test) == lookup(name).test_rows


def test_show_tells_what_is_in_a_file_and_in_a_scenarios_data(homes, pictures, tmp_path, capsys):
    show_data(str(homes), as_json=True)
    by_name = {row["column"]: row for row in json.loads(capsys.readouterr().out)}
    assert (by_name["room"]["kind"], by_name["room"]["values"], by_name["temp"]["kind"]) == ("text", 3, "numbers")
    show_data(str(pictures))
    assert "[40, 8, 8]" in capsys.readouterr().out
    show_data(str(written(tmp_path, "{csv: homes.csv, label: comfort, client: home, one_hot: [room]}")))
    told = capsys.readouterr().out
    assert "natural clients   4" in told
    assert "least 8, median 8, most 8" in told
