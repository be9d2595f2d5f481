"""The report on a run's privacy: all points, verdict first, and no number where something is not known."""

from __future__ import annotations

import json
import math

import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.privacy.releases import Release, Terms, record
from fedlite.report.privacy_report import NEEDED, NONE, privacy_report
from fedlite.report.run_page import write_report
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

MANIFEST = {"fedlite": "0.1.0", "seed": 3, "libraries": {"dp-accounting": "0.6.0"}}
POINTS = (
    "verdict", "trust", "unit", "relation", "mechanism", "sampler", "accountant", "epsilon", "amplification",
    "assumptions", "drop_outs", "released", "tuning", "public", "arithmetic", "hypothetical", "empirical", "cost",
    "provenance",
)  # fmt: skip


def summary(*, replied=18, **changes):
    terms = Terms(noise_multiplier=2.0, delta=1e-4, cohort=20, population=1000, sampling="fixed", relation="zero-out")
    releases = [Release(round_, 2.0, 0.5, 20, replied) for round_ in range(1, 6)]
    told = {"mechanism": "server-fixed-clipping", "trust": "central", **record(terms, releases), **changes}
    return {"privacy": told, "metrics": {"accuracy": 0.7}, "digest": "abc", "up_bytes": 10, "down_bytes": 20}


def report(**changes):
    return privacy_report(summary(**changes), MANIFEST)


def point(found, key):
    return found.record[key]


def test_all_points_are_there_and_the_verdict_is_first():
    found = report()
    assert tuple(each.key for each in found.points) == POINTS
    assert found.paragraph.startswith(found.verdict)
    assert found.guarantee
    assert all(found.record[key] for key in POINTS)


@pytest.mark.parametrize("key", NEEDED)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_it_fails_closed(key, how):
    told = summary()
    told["privacy"][key] = None
    if how == "absent":
        del told["privacy"][key]
    found = privacy_report(told, MANIFEST)
    assert not found.guarantee
    assert found.verdict == f"{NONE}: {key} is not known."
    assert "epsilon" not in found.paragraph
    assert (point(found, "epsilon"), point(found, "amplification")) == ("None is stated.", "None is stated.")


def test_a_run_without_a_mechanism_has_no_guarantee():
    for told in ({}, {"privacy": None}):
        found = privacy_report(told, {})
        assert found.verdict == f"{NONE}: no privacy mechanism was at work."
        assert "compression and averaging protect nobody" in found.paragraph


def test_with_and_without_amplification_stand_side_by_side():
    whole, broken = report(replied=20), report(replied=18)
    assert point(whole, "amplification").startswith("Stated with: epsilon")
    assert "without it would be" in point(whole, "amplification")
    assert "no amplification is claimed" in point(broken, "amplification")
    assert point(broken, "assumptions").startswith("Broken: in 5 of 5 rounds")
    assert point(broken, "drop_outs").startswith("10.0% of those drawn")


def test_numbers_are_those_of_the_run():
    found = report(replied=20)
    assert "clipping norm 0.5; noise multiplier 2: the sum" in point(found, "mechanism")
    assert "noise of deviation 1;" in point(found, "mechanism")
    assert "q = 20/1000 = 0.02" in point(found, "sampler")
    mu = math.sqrt(5) / 2
    assert f"GDP mu {mu:.4g} and zCDP rho {mu**2 / 2:.4g}" in point(found, "epsilon")
    assert "dp-accounting 0.6.0" in point(found, "accountant")


def test_a_large_delta_is_told():
    assert "too large to mean much" in point(report(delta=0.01), "epsilon")


def test_nothing_is_called_ready_for_a_real_fleet():
    text = json.dumps(report().record)
    assert "Simulated" in text
    assert "deployable" not in text


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ("{mechanism: server-fixed-clipping, noise_multiplier: 2, clipping_norm: 1, delta: 1e-3}", "Central"),
        ("{mechanism: local-dp, epsilon: 2, clipping_norm: 1, delta: 1e-3}", "Local"),
    ],
)
def test_page_and_command_tell_the_same(tmp_path, privacy, said):
    text = f"""
name: guarded
seed: 3
fleet: {{devices: 6, mix: {{pixel-8: 1}}}}
task: {{data: digits, model: {{name: mlp, options: {{hidden: [4]}}}}}}
training: {{rounds: 2, clients_per_round: 4, failures: missing, local: {{max_steps: 1}}}}
privacy: {privacy}
"""
    path = run(parse_scenario(text), out=tmp_path / "run", settings=Settings("local")).path
    done = CliRunner().invoke(app, ["privacy", "report", str(path), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["guarantee"] is True
    assert told["trust"].startswith(said)
    page = write_report(path).read_text(encoding="utf-8")
    assert "What the guarantee rests on" in page
    assert told["sampler"].split(";")[0] in page
    text = CliRunner().invoke(app, ["privacy", "report", str(path)]).stdout
    assert " ".join(text.split()).startswith(told["verdict"][:60])
