from pathlib import Path

import pytest

from fedlite.devices.profile import EngineFamily, Kind, Tier
from fedlite.errors import InvalidFileError, UnknownNameError
from fedlite.scenario import fields
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_mix, load_profile, mix_names, profile_names
from fedlite.scenario.share import share_dir

GOOD = (share_dir("device_profiles") / "pixel-4.yaml").read_text()


def problems_of(tmp_path, text, name="pixel-4"):
    """Return (line, column, key, whole message) of every mistake in a profile's text."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    with pytest.raises(InvalidFileError) as caught:
        load_profile(path)
    return [(p.line, p.column, p.key, str(p)) for p in caught.value.problems]


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def place(text, offset):
    """Return the line and column, both from 1, of an offset in a text."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def test_a_profile_is_read_in_si_units_with_its_sources():
    phone = load_profile("pixel-4")
    assert phone.tier is Tier.PHONE_HIGH
    assert phone.engine is EngineFamily.CPU_FP16
    assert phone.clock_hz.value == 2.84e9
    assert phone.ram_bytes.value == 6 * 2**30
    assert phone.battery_j is not None
    assert phone.battery_j.value == pytest.approx(10.78 * 3600)
    assert phone.battery_j.text == "10.78 Wh"
    assert phone.active_w.kind is Kind.MEASURED
    assert "MEIZU" in phone.active_w.source
    assert phone.anchors[0].latency_s.value == pytest.approx(5.32e-3)
    assert phone.anchors[0].input_shape == (3, 224, 224)
    assert phone.thermal is not None
    assert phone.thermal.sustained.value == pytest.approx(0.7)


def test_a_device_on_mains_has_no_battery():
    assert load_profile("pi-4b").battery_j is None


def test_a_profile_is_found_by_name_or_by_path(tmp_path):
    path = tmp_path / "pixel-4.yaml"
    path.write_text(GOOD)
    assert load_profile(path) == load_profile(str(path)) == load_profile("pixel-4")


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "pixel-4.yaml"
    path.write_text(GOOD)
    load_profile(path)
    path.write_text(changed("value: 10.78", "value: 10.79"))
    assert load_profile(path).battery_j.text == "10.79 Wh"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="pixel-4"):
        load_profile("pixel-99")
    with pytest.raises(UnknownNameError, match="consumer-phones"):
        load_mix("everything")


def test_a_mix_that_names_one_mistaken_file_over_and_over_reads_it_once(tmp_path, monkeypatch):
    read = []
    read_file = fields.read_file
    monkeypatch.setattr(fields, "read_file", lambda path: read.append(path) or read_file(path))
    (tmp_path / "bad.yaml").write_text(GOOD.replace("cores:", "coers:"))
    shares = ", ".join(f"{'./' * n}bad.yaml: 1" for n in range(20))
    (tmp_path / "fleet.yaml").write_text(f"name: f\nfleet: {{devices: 20, mix: {{{shares}}}}}\n")
    with pytest.raises(InvalidFileError) as caught:
        load_fleet(tmp_path / "fleet.yaml")
    assert len(caught.value.problems) == 20
    assert len(read) == 1


def test_a_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(InvalidFileError, match=r"none\.yaml: \(file\): got no file to read"):
        load_profile(tmp_path / "none.yaml")


MISTAKES = [
    ("tier: phone-high", "tier: phone-huge", "tier", "phone-huge", "got 'phone-huge', expected one of phone-flagship"),
    ("cores: 8", "cores: eight", "compute.cores", "eight", "got 'eight', expected a whole number"),
    ("cores: 8", "cores: 8\n  colour: red", "compute.colour", "colour", "got an unknown key"),
    ("{value: 10.78, unit: Wh", "{value: 10.78, unit: mAh", "power.battery.unit", "mAh", "write one of uJ, mJ, J"),
    ("{value: 10.78, unit: Wh", "{value: -1, unit: Wh", "power.battery.value", "-1", "expected a number above 0"),
    ("{value: 10.78, unit: Wh", "{value: ten, unit: Wh", "power.battery.value", "ten", "got 'ten'"),
    (
        "kind: datasheet",
        "kind: guessed",
        "compute.clock.kind",
        "guessed",
        "expected one of measured, datasheet, assumed",
    ),
    (
        "access: [wifi, lte, ble]",
        "access: [wifi, wimax]",
        "radio.access",
        "[wifi, wimax]",
        "expected a list of access types",
    ),
    ("generation: s20-2021", "generation: s30", "radio.generation", "s30", "expected one of huang2012"),
    ("input: 3x224x224", "input: big", "anchors.0.input", "big", "expected channels x height x width"),
    ("precision: int8", "precision: int7", "anchors.1.precision", "int7", "expected one of fp32, int8"),
    ('unit: "%"', 'unit: "%%"', "power.thermal.sustained.unit", '"%%"', "expected a unit of fraction"),
    ("{value: 70", "{value: 170", "power.thermal.sustained", "{value: 170", "at most 100 %"),
    ("threads: 4", "threads: 16", "compute.threads", "16", "got 16 threads on 8 cores"),
    ("{value: 768, unit: MiB", "{value: 768, unit: GiB", "memory.job_ram", "{value: 768", "got 768 GiB of 6 GiB"),
    ("name: pixel-4", "name: pixel-5", "name", "pixel-5", "expected 'pixel-4', the name of the file"),
]


@pytest.mark.parametrize(("old", "new", "key", "part", "message"), MISTAKES, ids=[mistake[2] for mistake in MISTAKES])
def test_a_broken_profile_gives_file_line_key_and_remedy(tmp_path, old, new, key, part, message):
    text = changed(old, new)
    [(line, column, where, told)] = problems_of(tmp_path, text)
    assert where == key
    assert (line, column) == place(text, text.index(new) + new.index(part))
    assert told.startswith(f"{tmp_path / 'pixel-4.yaml'}:{line}:{column}: {key}: got ")
    assert message in told
    assert "; " in told


def test_every_mistake_of_a_profile_is_found_at_once(tmp_path):
    text = GOOD.replace("cores: 8", "cores: 0").replace("soc:", "sock:").replace("unit: GHz", "unit: W")
    keys = {key for _, _, key, _ in problems_of(tmp_path, text)}
    assert keys == {"compute.cores", "sock", "soc", "compute.clock.unit", "power.active_clock.unit"}


def test_a_number_without_a_source_is_refused(tmp_path):
    lines = [line for line in GOOD.splitlines() if "MEIZU" not in line]
    text = (
        "\n".join(lines).replace("value: 1.9, unit: W, kind: measured,", "value: 1.9, unit: W, kind: measured}") + "\n"
    )
    found = problems_of(tmp_path, text)
    assert [key for _, _, key, _ in found] == ["power.active.source"]


def test_a_bare_number_is_refused_with_an_example(tmp_path):
    start = GOOD.index("  idle: {")
    text = GOOD[:start] + "  idle: 0.1\n" + GOOD[GOOD.index("  active:") :]
    (_, _, key, told), *_ = problems_of(tmp_path, text)
    assert key == "power.idle"
    assert "write {value: 1.6, unit: W, source:" in told


def test_a_battery_without_charger_is_refused(tmp_path):
    start = GOOD.index("  charge: {")
    text = GOOD[:start] + GOOD[GOOD.index("  thermal:") :]
    assert [key for _, _, key, _ in problems_of(tmp_path, text)] == ["power"]


@pytest.mark.parametrize("text", ["", "just text\n", "[1, 2]\n", "name: pixel-4\nname: pixel-4\n"])
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    assert problems_of(tmp_path, text)


def test_a_mix_gives_profiles_and_shares_that_add_up():
    mix = load_mix("consumer-phones")
    assert sum(share for _, share in mix) == pytest.approx(1.0)
    assert dict(mix)["galaxy-a52"] == pytest.approx(0.14)


def test_a_mix_may_name_profiles_of_its_own(tmp_path):
    (tmp_path / "pixel-4.yaml").write_text(GOOD)
    path = tmp_path / "ours.yaml"
    path.write_text("name: ours\ntitle: Ours\nshares: {pixel-4.yaml: 50 %, pi-4b: 0.5}\n")
    assert load_mix(path).entries == ((str(tmp_path / "pixel-4.yaml"), 0.5), ("pi-4b", 0.5))


@pytest.mark.parametrize(
    ("shares", "key", "message"),
    [
        ("{pixel-4: 60 %}", "shares", "add up to 60 %, expected 100 %"),
        ("{pixel-99: 100 %}", "shares.pixel-99", "expected a device profile"),
        ("{pixel-4: lots}", "shares.pixel-4", "expected a share above 0"),
        ("{}", "shares", "expected profiles with their shares"),
    ],
)
def test_a_broken_mix_gives_file_line_key_and_remedy(tmp_path, shares, key, message):
    path = tmp_path / "ours.yaml"
    path.write_text(f"name: ours\ntitle: Ours\nshares: {shares}\n")
    with pytest.raises(InvalidFileError) as caught:
        load_mix(path)
    problem = caught.value.problems[-1]
    assert (problem.key, problem.line) == (key, 3)
    assert message in problem.message


def test_profiles_come_from_the_checkout_and_at_least_24_ship():
    assert share_dir("device_profiles") == Path(__file__).resolve().parents[2] / "device_profiles"
    assert len(profile_names()) >= 24
    assert {"consumer-phones", "wearables-and-phones", "iot-gateway", "mixed"} <= set(mix_names())
