import json

import pytest
from typer.testing import CliRunner

from fedlite.cli.devices import devices_app
from fedlite.errors import InvalidFileError, UnknownNameError
from fedlite.scenario.profiles import mix_names, profile_names

runner = CliRunner()


def run(*arguments):
    result = runner.invoke(devices_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_shows_every_profile_and_mix():
    text = run("list")
    for name in (*profile_names(), *mix_names()):
        assert name in text


def test_list_can_be_read_by_machines():
    document = json.loads(run("list", "--json"))
    assert [row["name"] for row in document["profiles"]] != []
    assert {row["name"] for row in document["profiles"]} == set(profile_names())
    board = next(row for row in document["profiles"] if row["name"] == "pi-4b")
    assert board["battery_j"] is None
    assert board["active_w"] == 5.0
    assert board["anchors_measured"] == 3
    assert next(row for row in document["mixes"] if row["name"] == "consumer-phones")["shares"]["pixel-8"] == 0.08


def test_list_can_be_held_to_one_tier():
    document = json.loads(run("list", "--tier", "npu", "--json"))
    assert {row["tier"] for row in document["profiles"]} == {"npu"}


def test_an_unknown_tier_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="phone-flagship"):
        run("list", "--tier", "toaster")


def test_show_tells_every_number_with_its_source():
    text = run("show", "pi-4b")
    for part in ("Raspberry Pi 4 Model B", "5.0 W", "measured", "stress-ng matrix", "60.74 ms", "cpu-fp32"):
        assert part in text


def test_show_can_be_read_by_machines():
    document = json.loads(run("show", "pixel-4", "--json"))
    assert document["battery_j"]["value"] == pytest.approx(10.78 * 3600)
    assert document["active_w"]["kind"] == "measured"
    assert document["thermal"]["sustained"]["text"] == "70 %"


def test_show_of_a_broken_file_names_line_key_and_remedy(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: broken\ntier: phone\n")
    with pytest.raises(InvalidFileError, match=r"broken\.yaml:2:7: tier: got 'phone'"):
        run("show", str(path))
