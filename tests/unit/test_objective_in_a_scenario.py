"""`task.objective`: what the data's labels ask for, or what is told; what does not fit is refused before it runs."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compose.learning import prepare
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.learning.data import Dataset, PartitionError, load
from fedlite.learning.data.catalog import CATALOG
from fedlite.scenario.loader import parse_scenario

TEXT = """
name: tiny
fleet: {{devices: 6, mix: {{pixel-4: 100 %}}}}
task:
  data: {data}
  clients: 6
  model: {model}
  objective: {objective}
training: {{rounds: 1, mode: {mode}}}
"""


def scenario(data="digits", model="mlp", objective="auto", mode="auto"):
    return parse_scenario(TEXT.format(data=data, model=model, objective=objective, mode=mode))


def _own(y, objective, shape=(4,)):
    x = np.zeros((40, *shape), np.float32)
    width = y.shape[1] if y.ndim > 1 else 3
    return Dataset("own", x, y, x, y, None, None, width, shape, "none", "this test", objective=objective)


def numbers():
    return _own(np.zeros((40, 2), np.float32), "regression")


def characters():
    return _own(np.arange(40) % 3, "next-character")


OWN = f"'{__name__}:{{}}'"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "cross-entropy"),
        ({"model": "autoencoder", "objective": "reconstruction"}, "reconstruction"),
        ({"data": OWN.format("numbers")}, "regression"),
        ({"data": OWN.format("characters"), "model": "char-lstm"}, "next-character"),
        ({"data": OWN.format("characters"), "model": "char-lstm", "objective": "cross-entropy"}, "cross-entropy"),
    ],
)
def test_auto_is_what_the_labels_ask_for_and_what_is_told_holds(told, expected):
    learning = prepare(scenario(**told))
    assert learning.objective == expected
    assert len(learning.test_rows) == 6


def test_a_dataset_and_its_row_in_the_catalogue_ask_for_the_same():
    assert {name: entry.objective for name, entry in CATALOG.items() if entry.objective != "cross-entropy"} == {
        "shakespeare": "next-character",
        "digit-scenes": "detection",
    }
    for name in ("digits", "digit-scenes"):
        assert load(name).objective == CATALOG[name].objective


@pytest.mark.parametrize(
    ("told", "place", "text"),
    [
        ({"model": "autoencoder"}, (7, "task.model"), "write 'objective: reconstruction'"),
        ({"data": "shakespeare", "model": "autoencoder"}, (7, "task.model"), "write 'objective: reconstruction'"),
        ({"objective": "reconstruction"}, (8, "task.objective"), "write 'model: autoencoder'"),
        ({"objective": "regression"}, (8, "task.objective"), "whose labels are classes and no numbers"),
        ({"objective": "hinge"}, (8, "task.objective"), "got 'hinge', expected an objective out of auto"),
    ],
)
def test_a_misfit_is_seen_in_the_file(told, place, text):
    with pytest.raises(InvalidFileError, match=text) as caught:
        scenario(**told)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == place


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            {"data": OWN.format("numbers"), "model": "autoencoder"},
            r"gives \(4,\) for a sample whose targets are \(2,\)",
        ),
        ({"data": OWN.format("numbers"), "objective": "cross-entropy"}, "write 'objective: regression'"),
        (
            {"data": OWN.format("characters"), "model": "char-lstm", "mode": "batched"},
            "cannot run side by side .*expected auto or sequential",
        ),
    ],
)
def test_a_misfit_of_ones_own_code_is_seen_before_the_run(told, text):
    with pytest.raises(FedliteError, match=text):
        prepare(scenario(**told))


@pytest.mark.parametrize("kind", ["{kind: dirichlet, alpha: 1.0}", "shards"])
def test_rows_without_classes_cannot_be_dealt_by_class(kind):
    text = TEXT.replace("clients: 6", f"clients: 6\n  partition: {kind.replace('{', '{{').replace('}', '}}')}")
    told = parse_scenario(text.format(data=OWN.format("numbers"), model="mlp", objective="auto", mode="auto"))
    with pytest.raises(PartitionError, match="use one of iid, natural, quantity"):
        prepare(told)
