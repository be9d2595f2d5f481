"""Exported files are written, executed and compared; what cannot be done is said."""

from __future__ import annotations

import json
import os

import pytest
import torch
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose.exporting import LOG, exported
from fedlite.compose.shipping import ship
from fedlite.delivery.ask_server import AskServer
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.errors import UnknownNameError
from fedlite.export import FORMATS, base, format_of
from fedlite.export.base import ExtraMissingError, Format
from fedlite.techniques import technique


class Doubling(Format):
    """Writes nothing of a net but one byte, and answers with a factor what the net does."""

    name, suffix, extra, libraries, runtime = "doubling", ".two", "none", ("fedlite",), "torch"
    factor, refuses, elsewhere = 1.01, "", ""

    @property
    def not_here(self):
        return self.elsewhere

    def write(self, net, rows, file):
        os.write(1, b"a converter talks\n")
        if self.refuses == "write":
            raise ValueError("operator fft\n is not known")
        self.net = net
        file.write_bytes(b"2")
        return {"rows": len(rows)}

    def opened(self, file):
        if self.refuses == "open":
            raise RuntimeError
        return lambda x: self.factor * self.net(torch.from_numpy(x)).detach().numpy()


def test_every_format_has_what_it_is_asked_for():
    for name in FORMATS:
        form = format_of(name)
        assert form.name == name
        assert form.suffix.startswith(".")
        assert form.libraries
    with pytest.raises(UnknownNameError, match=r"export: got 'tflite', expected one of coreml, executorch, li"):
        format_of("tflite")


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_library_is_named_with_the_command_that_brings_it(monkeypatch, name):
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    form = format_of(name)
    with pytest.raises(ExtraMissingError, match=f"--export {name}: got no {form.libraries[0]}") as found:
        form.check_installed()
    assert str(found.value).endswith(f"pip install 'fedlite[{form.extra}]'")


def test_the_command_stops_before_it_does_anything(monkeypatch, tmp_path):
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    found = CliRunner().invoke(app, ["deploy", str(tmp_path), "--export", "onnx", "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, ExtraMissingError)
    assert not (tmp_path / "out").exists()


def test_a_file_is_compared_with_the_artefact(shipped, ware, tmp_path, capfd):
    made = shipped(StaticQuantization())
    told = exported("small", made, ware, Doubling(), tmp_path)
    assert json.loads(json.dumps(told)) == told
    assert (told["file"], told["bytes"], told["stored_bytes"]) == (str(tmp_path / "small.two"), 1, len(made.file))
    assert (told["precision"], told["layers"], told["facts"]) == ("int8", {"int8": 4}, {"rows": 40})
    assert told["max_relative_error"] == pytest.approx(0.01, rel=1e-3)
    assert told["sqnr_db"] == pytest.approx(40.0, abs=0.01)
    assert told["rows"] == len(ware.data.x_test)
    assert told["metrics"]["accuracy"] == told["own_metrics"]["accuracy"] == made.score.metrics["accuracy"]
    assert told["own_metrics"]["loss"] == pytest.approx(made.score.metrics["loss"], rel=1e-5)
    assert told["metrics"]["loss"] != told["own_metrics"]["loss"]
    assert capfd.readouterr().out == ""
    assert (tmp_path / LOG).read_text() == "a converter talks\n"


def test_the_same_numbers_are_no_noise(shipped, ware, tmp_path):
    form = Doubling()
    form.factor = 1
    told = exported("same", shipped(), ware, form, tmp_path)
    assert (told["sqnr_db"], told["max_relative_error"], told["precision"]) == (None, 0.0, "fp32")


@pytest.mark.parametrize(
    ("refuses", "why"),
    [
        ("write", "not converted: ValueError: operator fft is not known"),
        ("open", "not executed: RuntimeError: no reason given"),
    ],
)
def test_what_a_converter_or_a_runtime_raises_is_told_in_a_line(shipped, ware, tmp_path, refuses, why):
    form = Doubling()
    form.refuses = refuses
    told = exported("not", shipped(), ware, form, tmp_path)
    assert (told["why"], told["written"], told["executed"]) == (why, refuses == "open", False)
    assert "metrics" not in told


def test_colours_of_a_converter_are_left_out_and_the_state_of_the_battery_is_named(shipped, ware, tmp_path):
    form = Doubling()
    form.write = lambda *_: (_ for _ in ()).throw(ValueError("\x1b[31mfft\x1b[0m is not known"))
    told = exported("slim", ship(ware, technique("battery-width").made({"charge": 0.3}).plan), ware, form, tmp_path)
    assert told["why"] == "not converted: ValueError: fft is not known"
    assert told["charge_from"] == 0.2
    assert "charge_from" not in exported("one", shipped(), ware, form, tmp_path)


def test_what_executes_elsewhere_is_written_and_not_scored(shipped, ware, tmp_path):
    form = Doubling()
    form.elsewhere = "executes on the moon alone"
    told = exported("far", shipped(), ware, form, tmp_path)
    assert (told["written"], told["executed"], told["why"]) == (True, False, "executes on the moon alone")
    assert (tmp_path / "far.two").stat().st_size == told["bytes"]
    assert "metrics" not in told


def test_nothing_is_exported_where_a_server_answers(shipped, ware, tmp_path):
    told = exported("asks", shipped(AskServer()), ware, Doubling(), tmp_path)
    assert (told["written"], told["why"]) == (False, "no model lies on the device")
    assert list(tmp_path.iterdir()) == []
