"""Whatever is written: the loader answers with a scenario or with places, never with a traceback."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlite import units
from fedlite.errors import InvalidFileError
from fedlite.scenario import names
from fedlite.scenario.dump import dump, dump_scenario
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.quantities import write
from fedlite.scenario.schema import Scenario, as_written
from fedlite.scenario.strict_yaml import read

BASE = {
    "name": "p",
    "fleet": {"devices": 20, "mix": {"phone": 0.8, "watch": 0.2}},
    "task": {"data": "digits", "model": "mlp"},
    "training": {"strategy": {"name": "fedadam"}, "local": {"lr": 0.1}},
    "clients": [{"for": {"tier": "mcu"}, "plan": {"width": 0.5}}],
    "wire": {"up": ["int8", "zstd"]},
}
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def _two_profiles(monkeypatch):
    monkeypatch.setattr(names, "profiles", lambda: ["phone", "watch"])


@FEW
@given(plain)
def test_what_is_written_reads_back_the_same(value):
    document = read(dump({"value": value}), "x")
    assert not document.problems
    assert document.value == {"value": value}


@FEW
@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,? \n\t1.e~"), max_size=60))
def test_any_text_gives_a_value_or_a_placed_problem(text):
    document = read(text, "x.yaml")
    assert all(problem.line >= 1 and problem.column >= 1 and problem.remedy for problem in document.problems)


@FEW
@given(st.text(alphabet=st.sampled_from("ab:-[]{}#,? \n1.e"), max_size=40))
def test_where_pyyaml_sees_no_document_at_all_neither_do_we(text):
    try:
        list(yaml.safe_load_all(text))
        refused = False
    except (yaml.YAMLError, ValueError, TypeError):
        refused = True
    if refused:
        assert read(text, "x").problems or "=" in text or not text.isascii()


@FEW
@given(st.data())
def test_any_value_at_any_key_is_taken_or_refused_with_a_place(data):
    """One value of a good scenario is replaced by anything: a scenario or problems come out, never a traceback."""
    value = {key: dict(inner) if isinstance(inner, dict) else inner for key, inner in BASE.items()}
    section = data.draw(st.sampled_from(sorted(value)))
    if isinstance(value[section], dict) and data.draw(st.booleans()):
        key = data.draw(st.sampled_from([*sorted(value[section]), "extra"]))
        value[section][key] = data.draw(plain)
    else:
        value[section] = data.draw(plain)
    try:
        scenario = parse_scenario(dump(value), "x.yaml")
    except InvalidFileError as error:
        scenario, found = None, error.problems
    else:
        found = []
    assert (scenario is None) == bool(found)
    assert all(problem.line >= 1 and problem.message and problem.remedy for problem in found)
    if scenario is not None:
        assert parse_scenario(dump_scenario(scenario)) == scenario


@FEW
@given(
    st.sampled_from(["time", "bytes", "energy", "power", "rate", "fraction"]),
    st.floats(min_value=1e-12, max_value=1e18, allow_nan=False),
)
def test_a_quantity_written_and_read_is_the_same_float(dimension, value):
    written = write(value, dimension)
    assert units.parse(written, dimension) == value
    assert math.isfinite(value)


@FEW
@given(
    rounds=st.integers(1, 10**6),
    lr=st.floats(1e-9, 10),
    deadline_s=st.floats(1e-3, 1e9) | st.none(),
    width=st.floats(1 / 64, 1),
    seed=st.integers(0, 2**63 - 1),
    start_min=st.integers(0, 7 * 24 * 60 - 1),
)
def test_a_scenario_survives_being_written_bit_for_bit(rounds, lr, deadline_s, width, seed, start_min):
    value = {key: dict(inner) if isinstance(inner, dict) else inner for key, inner in BASE.items()}
    value["training"] = {"rounds": rounds, "local": {"lr": lr}}
    if deadline_s is not None:
        value["training"]["deadline"] = f"{deadline_s!r} s"
    value["clients"] = [{"for": "any", "plan": {"width": width}}]
    value["seed"] = seed
    day, minute = divmod(start_min, 24 * 60)
    names_of_days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    value["fleet"]["start"] = f"{names_of_days[day]} {minute // 60:02d}:{minute % 60:02d}"
    scenario = parse_scenario(dump(value))
    again = parse_scenario(dump_scenario(scenario))
    assert again == scenario
    assert scenario.training.deadline_s == deadline_s
    assert scenario.fleet.start_s == start_min * 60
    assert Scenario.model_validate(as_written(scenario)) == scenario
