"""Every number of every shipped profile has a value, a unit, a source and a kind, and is plausible."""

import pytest
import yaml

from fedlite.devices import published
from fedlite.devices.profile import Kind, Tier
from fedlite.scenario.profiles import load_mix, load_profile, mix_names, profile_names
from fedlite.scenario.share import share_dir

PROSE = {"name", "title", "tier", "soc", "core_family", "engine", "generation", "model", "input", "precision", "notes"}
COUNTS = {"cores", "threads"}


def numbers(value, path=""):
    """Yield (path, number) for everything in a profile that is neither prose nor a count nor a list of names."""
    if isinstance(value, dict) and "value" in value:
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in PROSE | COUNTS | {"access"}:
                yield from numbers(item, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, f"{path}.{index}")
    else:
        yield path, value


@pytest.mark.parametrize("name", profile_names())
def test_every_number_has_value_unit_source_and_kind(name):
    document = yaml.safe_load((share_dir("device_profiles") / f"{name}.yaml").read_text())
    found = list(numbers(document))
    assert len(found) >= 6
    for path, number in found:
        assert isinstance(number, dict), f"{path} is a bare {number!r}"
        assert set(number) == {"value", "unit", "source", "kind"}, path
        assert len(number["source"]) >= 8, path
        assert number["kind"] in set(Kind), path


@pytest.mark.parametrize("name", profile_names())
def test_what_was_not_checked_is_not_called_measured(name):
    document = yaml.safe_load((share_dir("device_profiles") / f"{name}.yaml").read_text())
    for path, number in numbers(document):
        doubtful = any(
            word in number["source"] for word in ("not checked", "not measured", "no measurement", "carried over")
        )
        assert not (doubtful and number["kind"] != "assumed"), path


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_is_plausible(name):
    profile = load_profile(name)
    assert profile.name == name
    assert 1e6 < profile.clock_hz.value < 5e9
    assert profile.job_ram_bytes.value < profile.ram_bytes.value
    assert 0 < profile.idle_w.value < profile.active_w.value < 100
    assert len(profile.radios) == len(set(profile.radios)) > 0
    if profile.tier.startswith("phone") or profile.tier is Tier.WEARABLE:
        assert profile.battery_j is not None
    for anchor in profile.anchors:
        assert anchor.threads <= profile.cores
        assert 1e-4 < anchor.latency_s.value < 10
    assert any(anchor.threads == profile.threads for anchor in profile.anchors) or not profile.anchors


@pytest.mark.parametrize("name", profile_names())
def test_every_anchor_names_a_net_that_the_cost_model_knows(name):
    for anchor in load_profile(name).anchors:
        assert published.find(anchor.model) is not None, anchor.model


def test_every_class_of_device_has_profiles():
    tiers = {load_profile(name).tier for name in profile_names()}
    assert tiers == set(Tier)


@pytest.mark.parametrize("name", mix_names())
def test_every_mix_names_profiles_that_ship(name):
    mix = load_mix(name)
    assert {profile for profile, _ in mix} <= set(profile_names())
    assert mix.title


def test_most_profiles_are_calibrated_on_their_own_chip():
    measured = [any(a.latency_s.kind is Kind.MEASURED for a in load_profile(name).anchors) for name in profile_names()]
    assert sum(measured) >= 24


def test_the_readme_lists_no_profile_that_does_not_ship():
    text = (share_dir("device_profiles") / "README.md").read_text()
    named = {line.split("`")[1] for line in text.splitlines() if line.startswith("- `")}
    assert named <= set(profile_names()) | set(mix_names())
