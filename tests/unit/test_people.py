"""Whom a model is tested on: people held out are in no training row, and what a run says of its test is so."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from flwr.serverapp.strategy import FedAvg
from rich.console import Console

from fedlite.errors import InvalidFileError
from fedlite.learning.data import Dataset, DatasetError, PartitionError
from fedlite.learning.data.people import hold_out, scored_on
from fedlite.report.compare_page import comparison_page, read_runs
from fedlite.report.console import summary_table
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SAME = "other rows of the same people"
PEOPLE, ROWS = 10, 6
"""Each person has two wrists, that is two owners, with so many training rows and two test rows each."""


def wrists(**changes):
    """Rows that tell whose they are: the first number of each is its person."""
    owner, owner_test = (np.repeat(np.arange(2 * PEOPLE), rows) for rows in (ROWS, 2))
    x, x_test = (np.stack([o // 2, o, o % 3], axis=1).astype(np.float32)[:, None, :] for o in (owner, owner_test))
    y, y_test = (np.arange(len(o)) % 3 for o in (owner, owner_test))
    fields = {"person_of_client": np.arange(2 * PEOPLE) // 2, **changes}
    return Dataset("wrists", x, y, x_test, y_test, owner, owner_test, 3, (1, 3), "free", "made", **fields)


def persons(x):
    return set(x[:, 0, 0].astype(int).tolist())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("share", "held"), [(0.3, 3), (0.5, 5), (0.14, 1)])
def test_whoever_is_held_out_is_in_no_training_row_with_either_wrist(share, held, seed):
    whole, (own, apart) = wrists(), hold_out(wrists(), share, seed)
    assert len(persons(apart.x_test)) == held
    assert not persons(apart.x_test) & persons(apart.x_train)
    assert persons(apart.x_test) | persons(apart.x_train) == set(range(PEOPLE))
    assert apart.natural_clients == 2 * (PEOPLE - held)
    # All rows of those held out are tested; the others train on what they always do.
    assert len(apart.x_test) == held * 2 * (ROWS + 2)
    kept = np.isin(whole.client_train, apart.client_train)
    assert np.array_equal(apart.x_train, whole.x_train[kept])
    assert np.array_equal(apart.y_train, whole.y_train[kept])
    assert np.array_equal(apart.x_test[:, 0, 1], apart.client_test)
    # What devices have is theirs alone, in both splits.
    assert persons(own.x_test) == persons(own.x_train) == persons(apart.x_train)
    assert len(own.x_test) == (PEOPLE - held) * 2 * 2
    assert np.array_equal(own.x_test[:, 0, 1], own.client_test)


def test_the_seed_draws_who_is_held_out():
    drawn = [frozenset(persons(hold_out(wrists(), 0.3, seed)[1].x_test)) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2


def test_an_owner_is_a_person_where_nothing_else_is_told():
    _, apart = hold_out(wrists(person_of_client=None), 0.3, 1)
    assert len(np.unique(apart.client_test)) == 6


def test_those_who_train_are_standardised_without_those_held_out():
    own, apart = hold_out(wrists(standardised=True), 0.3, 1)
    assert apart.x_train.mean() == pytest.approx(0, abs=1e-6)
    assert abs(apart.x_test.mean()) > 1e-3
    scale = (own.x_test[1, 0, 1] - own.x_test[-1, 0, 1]) / (own.client_test[1] - own.client_test[-1])
    held = (apart.x_test[1, 0, 1] - apart.x_test[-1, 0, 1]) / (apart.client_test[1] - apart.client_test[-1])
    assert held == pytest.approx(scale)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_somebody_is_held_out_and_somebody_trains(share):
    with pytest.raises(PartitionError, match="of 10 people, expected 1 to 9 of them"):
        hold_out(wrists(), share, 1)


def test_people_cannot_be_held_out_of_data_that_records_none():
    with pytest.raises(PartitionError, match="'wrists', which records no people"):
        hold_out(_nobodys(), 0.3, 1)


def _nobodys():
    made = wrists(person_of_client=None)
    return Dataset(
        "wrists", made.x_train, made.y_train, made.x_test, made.y_test, None, None, 3, (1, 3), "free", "made"
    )


@pytest.mark.parametrize("person", [np.zeros(3, np.int64), np.zeros(20, np.float32)])
def test_every_owner_is_somebody(person):
    with pytest.raises(DatasetError, match="person_of_client"):
        wrists(person_of_client=person)


def test_what_is_said_of_a_test_set_follows_from_the_rows():
    whole, (_, apart) = wrists(), hold_out(wrists(), 0.3, 1)
    everybody = [np.arange(len(whole.x_train))]
    first_four = [np.arange(4 * 2 * ROWS)]
    assert scored_on(whole, everybody) == SAME
    assert scored_on(whole, first_four) == "rows of 10 people, 4 of whom took part"
    assert scored_on(apart, [np.arange(len(apart.x_train))]) == "3 people who took no part"
    assert scored_on(_nobodys(), everybody) == ""


SCENARIO = """
name: wrists
seed: 3
fleet: {{devices: 14, mix: {{pixel-8: 1, pi-4b: 1}}}}
task: {{data: "{data}", model: mlp, partition: {partition}, split: {split}}}
training: {{rounds: 2, clients_per_round: 5, local: {{lr: 0.01}}, strategy: "{strategy}"}}
"""


def scenario(data=f"{__name__}:wrists", partition="natural", split="people", strategy="fedavg"):
    return parse_scenario(SCENARIO.format(data=data, partition=partition, split=split, strategy=strategy))


def shown(done):
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(done.path))
    return " ".join(console.file.getvalue().split())


@pytest.mark.parametrize("partition", ["natural", "iid"])
def test_terminal_summary_and_page_say_who_was_scored(tmp_path, partition):
    said = {}
    for split in ("rows", "people"):
        done = run(scenario(partition=partition, split=split), out=tmp_path / split, settings=Settings("local"))
        said[split] = done.summary["scored_on"]
        assert f"accuracy on {said[split]};" in shown(done)
        assert f"tested on {said[split]}" in (done.path / "report.html").read_text(encoding="utf-8")
    assert said["people"] == "3 people who took no part"
    # 14 devices hold the rows of 14 of 20 wrists, or a part of all rows each.
    assert said["rows"] == ("rows of 10 people, 8 of whom took part" if partition == "natural" else SAME)
    page = comparison_page(*read_runs([tmp_path / "rows", tmp_path / "people"]))
    assert "not scored alike" in str(page.answer)
    same = comparison_page(*read_runs([tmp_path / "rows", tmp_path / "rows"]))
    assert "not scored alike" not in str(same.answer)


def test_the_table_of_tests_is_of_those_held_out_who_have_no_device(tmp_path):
    done = run(scenario(), out=tmp_path / "run", settings=Settings("local"))
    assert len(done.evaluation) == 6
    assert done.evaluation["device"].unique().to_list() == [-1]
    assert done.evaluation["samples"].to_list() == [ROWS + 2] * 6
    assert done.clients.filter(pl.col("kind") == "train").height == 10


def asks():
    """A strategy that also asks clients to test."""
    return FedAvg(fraction_train=0.5, fraction_evaluate=1.0, min_evaluate_nodes=2)


def test_clients_that_are_asked_to_test_have_their_own_rows(tmp_path):
    done = run(scenario(strategy=f"{__name__}:asks"), out=tmp_path / "run", settings=Settings("local"))
    tested = done.clients.filter(pl.col("kind") == "evaluate")
    assert tested.height == 2 * 14
    assert tested["examples"].to_list() == [2] * tested.height


@pytest.mark.parametrize("data", ["digits", "mnist", "idx:/nowhere"])
def test_a_scenario_that_holds_out_people_nobody_recorded_is_refused(data):
    with pytest.raises(InvalidFileError, match=r"task.split: got 'people' with .*no people.*write 'split: rows'"):
        scenario(data=data, partition="iid")


def test_an_app_has_data_of_its_own():
    text = SCENARIO.format(data="watch", partition="natural", split="people", strategy="fedavg")
    with pytest.raises(InvalidFileError, match=r"task.split: got 'people' with task.app"):
        parse_scenario(text.replace("model: mlp", "model: mlp, app: tests:app"))
