"""Four small runs whose every row is pinned, so that code can move and nobody's numbers do.

Exact: outcomes, bytes of fixed-length codecs, counts. To the last bits of a double: seconds and joules (processors
differ in the last bit of a logarithm). Within `BY_CONTENT`: what follows from the length of an entropy-coded upload.
Weights and metrics within the tolerances below, since kernels differ between processors.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("pinned", Path(__file__).with_name("pinned.py"))
pinned = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pinned)

WEIGHTS = {"summed": 2e-2, "separate": 2e-2, "guarded": 1e-3, "buffered": 1e-3}
"""Largest relative L2 distance of the final weights; stochastic rounding amplifies the last bit of a kernel."""
ACCURACY = 0.02
LOSS = 0.02


@pytest.fixture(scope="module", params=pinned.NAMES)
def pair(request, tmp_path_factory):
    """The pins of a scenario and what the code of today makes of it."""
    finished = pinned.run(request.param, tmp_path_factory.mktemp("pins") / request.param)
    return request.param, pinned.read(request.param), pinned.pins_of(finished)


def test_counts_outcomes_and_names_are_the_pinned_ones(pair):
    _, wanted, got = pair
    for column in pinned.EXACT:
        assert got["jobs"][column] == wanted["jobs"][column], column


def test_seconds_joules_and_bytes_are_the_pinned_ones(pair):
    name, wanted, got = pair
    tolerance = pinned.BY_CONTENT if name == "separate" else pinned.LAST_BITS
    for column in pinned.PRICED:
        ours, pins = (np.array(side["jobs"][column], dtype=np.float64) for side in (got, wanted))
        np.testing.assert_allclose(ours, pins, rtol=tolerance, atol=1e-12, err_msg=column)


def test_what_no_upload_decides_is_pinned_to_the_last_bits_everywhere(pair):
    _, wanted, got = pair
    # Where the day's energy ends a job, earlier uploads of the device have taken of it what their content asked for.
    free = np.array(wanted["jobs"]["outcome"]) != "energy_budget"
    for column in ("down_s", "train_s", "compute_j"):
        ours, pins = (np.array(side["jobs"][column])[free] for side in (got, wanted))
        np.testing.assert_allclose(ours, pins, rtol=pinned.LAST_BITS, err_msg=column)
    if got["epsilon"] is not None or wanted["epsilon"] is not None:
        assert got["epsilon"] == pytest.approx(wanted["epsilon"], rel=1e-6)


def test_every_round_learns_what_it_learned(pair):
    _, wanted, got = pair
    for column, tolerance in (
        ("round", 0),
        ("arrived", 0),
        ("accuracy", ACCURACY),
        ("loss", LOSS),
        ("train_loss", LOSS),
    ):
        ours, pins = (np.array(side["rounds"][column], dtype=np.float64) for side in (got, wanted))
        np.testing.assert_allclose(ours, pins, atol=tolerance, rtol=0, err_msg=column)
    np.testing.assert_allclose(got["jobs"]["loss"], wanted["jobs"]["loss"], atol=LOSS, rtol=0)


def test_the_final_weights_are_the_pinned_ones(pair):
    name, wanted, got = pair
    assert got["weights"].keys() == wanted["weights"].keys()
    ours, pins = (np.concatenate([np.array(side["weights"][k]) for k in wanted["weights"]]) for side in (got, wanted))
    assert np.linalg.norm(ours - pins) <= WEIGHTS[name] * np.linalg.norm(pins)
