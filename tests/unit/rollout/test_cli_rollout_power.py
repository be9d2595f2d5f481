"""`fedlite rollout power` answers people and programs, and refuses what a method does not take."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.errors import FedliteError
from fedlite.rollout.gates.exact import Exact
from fedlite.rollout.power import minimum_detectable_effect
from fedlite.rollout.wave import Wave

runner = CliRunner()
COUNTED = ("--baseline", "0.01", "--n", "5000")


def power(*arguments):
    done = runner.invoke(app, ["rollout", "power", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def answer(*arguments):
    return json.loads(power(*arguments, "--json"))


@pytest.mark.parametrize(("rate", "wanted"), [(0.01, 0.20), (0.03, 0.59), (0.05, 0.98)])
def test_a_threshold_is_looked_at_after_every_device(rate, wanted):
    told = answer(
        "--method", "threshold", *COUNTED, "--effect", str(rate), "--min-executed", "20", "--threshold", "0.05"
    )
    assert told["power"] == pytest.approx(wanted, abs=0.016)
    assert told["false_abort"] == pytest.approx(0.2, abs=0.006)
    assert told["median_n_to_abort"] == 20
    assert told["false_alarms_bounded"] is False


def test_looks_can_be_told():
    once = answer("--method", "threshold", *COUNTED, "--effect", "0.03", "--threshold", "0.05", "--looks", "1")
    assert once["power"] < 1e-6
    often = answer("--method", "exact", *COUNTED, "--effect", "0.02", "--looks", "100")
    assert often["false_abort"] == pytest.approx(0.22, abs=0.016)
    assert often["false_alarms_bounded"] is False
    assert answer("--method", "exact", *COUNTED, "--effect", "0.02")["false_alarms_bounded"] is True


def test_alpha_reaches_the_gate():
    strict = answer("--method", "sequential", *COUNTED, "--effect", "0.015", "--alpha", "0.001")
    usual = answer("--method", "sequential", *COUNTED, "--effect", "0.015")
    assert usual["power"] == pytest.approx(0.74, abs=0.016)
    assert strict["power"] < usual["power"] - 0.2
    assert strict["false_abort"] <= 0.001


def test_the_least_effect_and_the_class_are_told():
    told = answer("--method", "exact", "--baseline", "0.01", "--effect", "0.2", "--n", "100", "--class-share", "0.05")
    wave = Wave(100, 0.01, class_share=0.05)
    assert told["mde"] == minimum_detectable_effect(Exact(0.01), wave)
    assert told["chance_of_3_failures_in_class"] == pytest.approx(0.08, abs=0.005)


def test_an_effect_below_the_baseline_of_a_metric_makes_a_decrease_bad():
    fall = answer("--method", "mann-whitney", "--baseline", "0.85", "--effect", "0.82", "--n", "395", "--sd", "0.113")
    assert fall["power"] > 0.9
    assert fall["mde"] < 0.85
    told = ("--baseline", "0.85", "--effect", "0.80", "--n", "395", "--sd", "0.113", "--replications", "1000")
    margin = answer("--method", "mann-whitney", *told, "--margin", "0.03")
    assert margin["power"] == pytest.approx(0.78, abs=0.05)
    assert margin["standard_error"] == pytest.approx(0.013, abs=0.002)


def test_two_arms_of_a_sequential_gate_are_asked_for():
    told = answer("--method", "sequential", "--control", "--baseline", "0.01", "--effect", "0.03", "--n", "2000")
    assert (told["how"], told["looks"]) == ("simulation", 100)
    assert told["power"] > 0.9
    assert told["false_abort"] <= 0.05


def test_people_are_told_what_a_wave_needs_and_what_is_not_bounded():
    text = power(
        "--method", "sequential", "--baseline", "0.01", "--effect", "0.2", "--n", "100", "--class-share", "0.05"
    )
    assert "with probability 0.07; for 0.80 it needs about 1740" in text
    assert "3 failures of the class are in the wave with probability 0.079" in text
    assert "warning" not in text
    loose = power("--method", "threshold", *COUNTED, "--effect", "0.01", "--threshold", "0.05")
    assert "not bounded by alpha" in loose
    assert "it needs" not in loose
    simulated = power("--method", "msprt", "--baseline", "100", "--effect", "105", "--sd", "20", "--n", "100")
    assert "(one standard error)" in simulated


MISTAKES = {
    "--method: got 'guess', expected one of exact, mann-whitney, msprt": ("--method", "guess"),
    "--threshold: got it with --method exact, which takes --alpha": ("--method", "exact", "--threshold", "0.1"),
    "--alpha: got it with --method threshold, which takes --threshold": ("--method", "threshold", "--alpha", "0.1"),
    "--control: got it with --method z": ("--method", "z", "--control"),
    "--threshold: got nothing with --method threshold": ("--method", "threshold"),
    "alpha: got 2.0, expected": ("--method", "z", "--alpha", "2"),
    "sd: got none with a gate of a continuous metric": ("--method", "msprt"),
}


@pytest.mark.parametrize(("words", "arguments"), MISTAKES.items(), ids=list(MISTAKES))
def test_mistakes_are_told_in_one_line(words, arguments):
    with pytest.raises(FedliteError) as told:
        power(*arguments, *COUNTED, "--effect", "0.02")
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_mistake_ends_with_code_2_and_without_a_traceback():
    command = [sys.executable, "-m", "fedlite", "rollout", "power", "--method", "exact", *COUNTED, "--effect", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "effect: got 7.0, expected 0 to 1; write 0.05 for 5 %\n"
    assert done.stdout == ""


def test_asking_for_help_imports_no_scipy():
    code = (
        "from fedlite.cli.main import app; app(['rollout', 'power', '--help'], standalone_mode=False)\n"
        "import sys; sys.exit('scipy' in sys.modules or 'fedlite.rollout' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
