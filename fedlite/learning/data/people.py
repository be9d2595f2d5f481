"""Whom a model is tested on: other rows of the people it learned from, or people who take no part.

The second is what a rollout meets: everybody who gets the model without having trained it. Figures on the same people
are higher wherever rows of one person resemble each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.data.images import standardise
from fedlite.learning.data.partition_error import PartitionError
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.learning.data.dataset import Dataset

    Ints = NDArray[np.int64]


def hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Return the dataset of those who take part, and the same training split with everybody else for a test.

    Parameters
    ----------
    dataset : Dataset
        With natural owners.
    share : float
        Part of the people to hold out, rounded to whole people.
    seed : int
        Draws them, by a stream of its own.

    Returns
    -------
    taking_part, held_out : Dataset
        Both have the training rows of those who take part; theirs stay out that the data keeps for tests. The first has
        those for a test, the second all rows of the people held out. Inputs that were standardised are standardised
        again, by those who train.

    Raises
    ------
    PartitionError
        If the data records no people, or nobody would train or be tested.
    """
    people, owners, owners_test = _people(dataset), dataset.client_train, dataset.client_test
    if people is None or owners is None or owners_test is None:
        raise PartitionError(
            f"task.split: got 'people' with {dataset.name!r}, which records no people or devices, expected data with "
            "client_train; write 'split: rows'"
        )
    of_train, of_test = people
    everybody = np.unique(of_train)
    count = round(share * len(everybody))
    if not 0 < count < len(everybody):
        raise PartitionError(
            f"task.split: got a share of {share:.3g}, which is {count} of {len(everybody)} people, expected 1 to "
            f"{len(everybody) - 1} of them; change it"
        )
    held = stream(seed, "partition", "people").choice(everybody, count, replace=False)
    away, away_test = np.isin(of_train, held), np.isin(of_test, held)
    x_train, x_test = dataset.x_train[~away], dataset.x_test[~away_test]
    x_held = np.concatenate([dataset.x_train[away], dataset.x_test[away_test]])
    if dataset.standardised:
        x_train, scaled = standardise(x_train, np.concatenate([x_test, x_held]))
        x_test, x_held = np.split(scaled, [len(x_test)])
    taking_part = replace(
        dataset,
        x_train=x_train,
        y_train=dataset.y_train[~away],
        client_train=owners[~away],
        x_test=x_test,
        y_test=dataset.y_test[~away_test],
        client_test=owners_test[~away_test],
    )
    return taking_part, replace(
        taking_part,
        x_test=x_held,
        y_test=np.concatenate([dataset.y_train[away], dataset.y_test[away_test]]),
        client_test=np.concatenate([owners[away], owners_test[away_test]]),
    )


def scored_on(dataset: Dataset, dealt: Sequence[Ints]) -> str:
    """Return whom the test split is of, as seen from those whose training rows were dealt; empty if nobody knows.

    Parameters
    ----------
    dataset : Dataset
    dealt : sequence of int arrays
        The training rows of each client.
    """
    people = _people(dataset)
    if people is None:
        return ""
    of_train, of_test = people
    tested = np.unique(of_test)
    trained = int(np.isin(tested, of_train[np.unique(np.concatenate(dealt))]).sum())
    if trained == len(tested):
        return "other rows of the same people"
    some = "1 person" if len(tested) == 1 else f"{len(tested)} people"
    return f"{some} who took no part" if not trained else f"rows of {some}, {trained} of whom took part"


def _people(dataset: Dataset) -> tuple[Ints, Ints] | None:
    """Return whose each training and each test row is: a person may be several owners, as a wrist each."""
    if dataset.client_train is None or dataset.client_test is None:
        return None
    person = dataset.person_of_client
    if person is None:
        return dataset.client_train, dataset.client_test
    return person[dataset.client_train], person[dataset.client_test]
