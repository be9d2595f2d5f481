"""`fedlite rollout PLAN.yaml` as a person runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedlite.cli.main import app
from fedlite.compose import program
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.compose.rollout_run import rehearse
from fedlite.engine.pool import LocalPool
from fedlite.errors import FedliteError
from fedlite.rollout.states import State
from fedlite.runner import Settings
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.loading import parse_rollout
from fedlite.units import DAY_S

PLAN = """
name: small
seed: 3
replications: 6
horizon: 5 d
fleet:
  devices: 300
  mix: {galaxy-a52: 60 %, pi-4b: 20 %, nrf52840: 20 %}
  availability: diurnal
audience: {opt_out: 5 %}
model:
  install_failure: 1 %
  variants:
    - {name: int8, bytes: 400 kB, memory: 3 MiB, network: mobilenet_v1_0.25, precision: int8, accuracy: 71 %}
    - {name: fp32, bytes: 1.9 MB, memory: 9 MiB, network: mobilenet_v1_0.25, accuracy: 72 %}
  old: {bytes: 400 kB, accuracy: 70 %}
download: {jitter: 30 min}
strategy:
  steps:
    - setWeight: 10 %
    - pause: {duration: 1 d}
    - analysis: [installs]
    - setWeight: 100 %
gates:
  - {name: installs, metric: install_failure, method: sequential, baseline: 1 %, effect: 30 %, every: 6 h, on_fail: rollback}
worlds:
  - name: good
  - {name: bad, changes: {install_failure: 60 %}, on: {profiles: [galaxy-a52]}}
"""  # noqa: E501
WORLD = {
    "name", "time_to_50_s", "time_to_90_s", "time_to_95_s", "time_to_99_s", "coverage", "never", "bytes", "energy_j",
    "blast_radius", "p_abort", "p_detect", "p_false_abort", "detect_time_s", "accuracy",
}  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(app, ["rollout", *map(str, arguments)])


def priced(text=PLAN):
    plan = parse_rollout(text)
    return variants(plan.model, [load_profile(name) for name in plan.fleet.mix])


def made(text=PLAN):
    return rehearsed(parse_rollout(text), priced(text))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return rehearse(parse_rollout(PLAN), out=tmp_path_factory.mktemp("one"), settings=Settings("local"))


def test_the_command_prints_one_object_of_worlds_and_gates(tmp_path, monkeypatch, finished):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = run("plan.yaml", "--json", "--backend", "local")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == finished.summary
    for world in told["worlds"]:
        assert set(world) >= WORLD
        assert set(world["time_to_50_s"]) == {"p5", "p50", "p95"}
    assert (tmp_path / "runs" / "small-001" / "rollout.json").exists()
    assert {row["wave"] for row in told["gates"]} == {"10 %", "100 %"}
    assert all(0 <= row["power"] <= 1 for row in told["gates"])


def test_good_and_bad_worlds_come_out_as_they_are(finished):
    good, bad = finished.summary["worlds"]
    assert good["p_abort"] == good["p_false_abort"] == 0.0
    assert bad["p_detect"] == 1.0
    assert bad["blast_radius"]["devices"]["p50"] > 0 == good["blast_radius"]["devices"]["p95"]
    assert set(good["never"]) >= {"no_memory", "opted_out"}
    assert good["never"]["no_memory"]["p50"] == pytest.approx(0.2)
    assert good["coverage"]["nrf52840"]["p95"] == 0.0
    assert good["accuracy"]["by_class"]["galaxy-a52"]["p50"] > 0.715
    assert bad["never"]["not_reached"]["p50"] > 0.5


def test_the_terminal_says_it_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = run("plan.yaml", "--replications", 2, "--backend", "local")
    assert done.exit_code == 0, done.output
    for words in ("stopped by a gate", "No variant fits its memory", "seen with", "results: runs/small-001"):
        assert words in done.output


def test_a_plan_that_ends_below_all_says_so_wherever_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("setWeight: 100 %", "setWeight: 50 %"))
    done = run("plan.yaml", "--replications", 1, "--backend", "local")
    assert done.exit_code == 0, done.output
    assert "Mind: the plan lets in 50 % of the devices at most.\n" in done.output
    folder = tmp_path / "runs" / "small-001"
    assert json.loads((folder / "rollout.json").read_text())["remarks"] == [
        "the plan lets in 50 % of the devices at most"
    ]
    assert "Mind: the plan lets in 50 % of the devices at most." in (folder / "report.html").read_text()


def test_seed_replications_and_keys_can_be_changed(tmp_path, finished):
    (tmp_path / "plan.yaml").write_text(PLAN)
    other = run(tmp_path / "plan.yaml", "--json", "--backend", "local", "--seed", 4, "--replications", 2,
                "--set", "audience.opt_out=50 %", "--out", tmp_path / "out")  # fmt: skip
    assert other.exit_code == 0, other.output
    told = json.loads(other.stdout)
    assert (told["seed"], told["replications"]) == (4, 2)
    assert told["worlds"][0]["never"]["opted_out"]["p50"] > 0.3
    assert told["worlds"][0] != finished.summary["worlds"][0]


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Return the directory of a rehearsal stopped in its third of four tasks, and what is played from now on."""
    collect, played = LocalPool.collect, []

    def counted(self, ticket):
        played.append(ticket)
        if len(played) == 3:
            raise KeyboardInterrupt
        return collect(self, ticket)

    monkeypatch.setattr(LocalPool, "collect", counted)
    with pytest.raises(KeyboardInterrupt):
        rehearse(parse_rollout(PLAN), out=tmp_path, settings=Settings("local"))
    played[:] = []
    monkeypatch.setattr(LocalPool, "collect", lambda self, ticket: played.append(ticket) or collect(self, ticket))
    return tmp_path, played


def test_an_interrupted_rehearsal_is_continued_and_comes_to_the_same(interrupted, finished):
    path, played = interrupted
    again = rehearse(parse_rollout(PLAN), out=path, settings=Settings("local"))
    assert again.summary == finished.summary
    assert len(played) == 2
    with pytest.raises(FedliteError, match="holds finished results"):
        rehearse(parse_rollout(PLAN), out=path, settings=Settings("local"))


def test_what_another_program_has_rehearsed_is_rehearsed_anew(interrupted, finished, monkeypatch):
    path, played = interrupted
    versions = program._versions()
    monkeypatch.setattr(program, "_versions", lambda: {**versions, "fedlite": "0.0.1"})
    assert rehearse(parse_rollout(PLAN), out=path, settings=Settings("local")).summary == finished.summary
    assert len(played) == 4


def test_a_rollouts_program_is_of_its_code_its_versions_and_its_profiles(monkeypatch):
    plan, fleet = parse_rollout(PLAN), made().fleet
    known = program.Program.of_rollout(plan, fleet)
    assert {"fedlite", "scipy", "numpy"} <= set(known.versions)
    others = made(PLAN.replace("galaxy-a52", "pixel-4")).fleet
    assert program.Program.of_rollout(plan, others).digest != known.digest
    monkeypatch.setattr(program, "_fedlite", lambda: "other sources")
    assert program.Program.of_rollout(plan, fleet).digest != known.digest


def test_a_directory_of_another_plan_is_refused(tmp_path):
    (tmp_path / "plan.yaml").write_text("name: other\n")
    with pytest.raises(FedliteError, match="rehearsals of another plan"):
        rehearse(parse_rollout(PLAN), out=tmp_path, settings=Settings("local"))


@pytest.mark.ray
def test_ray_comes_to_the_same_numbers(tmp_path, finished):
    on_ray = rehearse(parse_rollout(PLAN), out=tmp_path / "ray", settings=Settings("ray", actors=2))
    assert on_ray.summary == finished.summary


def test_mistakes_in_a_plan_are_told_with_place_and_remedy(tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN.replace("setWeight: 100 %", "setWeight: 5 %"))
    done = run(tmp_path / "plan.yaml")
    assert done.exit_code == 2 or done.exception is not None
    told = str(done.exception) + done.output
    assert "plan.yaml:" in told
    assert "5 %" in told


# -- from the plan to numbers -----------------------------------------------------------------------------------------


def test_each_class_gets_the_most_accurate_variant_that_fits():
    told = made()
    by_name = dict(zip(told.profiles, told.plan.assigned.variant_of.tolist(), strict=True))
    assert by_name == {"galaxy-a52": 1, "pi-4b": 1, "nrf52840": -1}
    assert told.plan.assigned.why[told.profiles.index("nrf52840")] == State.NO_MEMORY.code
    first = made(PLAN.replace("model:\n", "model:\n  match: first-fit\n"))
    assert dict(zip(first.profiles, first.plan.assigned.variant_of.tolist(), strict=True))["pi-4b"] == 0


def test_a_variant_that_is_too_slow_or_told_for_others_is_not_given():
    slow = made(PLAN.replace("accuracy: 72 %}", "accuracy: 72 %, requires: {latency: 1 us}}"))
    assert slow.plan.assigned.variant_of[slow.profiles.index("pi-4b")] == 0
    elsewhere = made(PLAN.replace("accuracy: 72 %}", "accuracy: 72 %, requires: {profiles: [pi-4b]}}"))
    assert elsewhere.plan.assigned.variant_of[elsewhere.profiles.index("galaxy-a52")] == 0


def test_old_and_new_must_fit_beside_each_other_unless_told_otherwise():
    tight = PLAN.replace("availability: diurnal", "availability: diurnal\n  budgets: {storage: 2 MB}")
    given = made(tight)
    assert given.plan.assigned.variant_of[given.profiles.index("pi-4b")] == 0
    alone = made(tight.replace("jitter: 30 min", "jitter: 30 min, storage_not_low: false"))
    assert alone.plan.assigned.variant_of[alone.profiles.index("pi-4b")] == 1


def test_latencies_are_those_that_devices_predict_prints():
    from fedlite.devices import published
    from fedlite.devices.calibration import Work
    from fedlite.devices.compute import configuration

    told = made()
    net = published.find("mobilenet_v1_0.25")
    for name in ("galaxy-a52", "pi-4b"):
        expected = configuration(load_profile(name), "fp32").latency_s(Work(net.terms, net))
        assert told.plan.assigned.latency_s[told.profiles.index(name)] == expected


def test_steps_gates_and_worlds_become_what_is_rehearsed():
    told = made()
    first, second = told.plan.strategy
    assert (first.share, first.hold_s, first.analyses) == (0.1, DAY_S, ("installs",))
    assert (second.share, second.hold_s) == (1.0, 0.0)
    (watch,) = told.plan.watches
    assert (watch.on_fail, watch.every_s, watch.gate.baseline, watch.gate.alpha) == ("rollback", 21_600.0, 0.01, 0.05)
    good, bad = told.worlds
    assert not good.is_bad
    assert bad.bad.tolist() == [name == "galaxy-a52" for name in told.profiles]
    assert bad.new.install_failure.tolist() == [0.6 if name == "galaxy-a52" else 0.01 for name in told.profiles]


def test_what_is_told_of_the_old_model_and_of_charge_is_used():
    told = made(PLAN.replace("accuracy: 70 %}", "accuracy: 70 %, latency_factor: 1.5}"))
    here = told.plan.assigned.variant_of >= 0
    assert (told.plan.old.latency_s[here] == 1.5 * told.plan.assigned.latency_s[here]).all()
    assert (told.plan.old.inference_j[here] == 1.5 * told.plan.assigned.inference_j[here]).all()
    assert told.charges is None
    assert made(PLAN.replace("jitter: 30 min", "jitter: 30 min, min_battery: 40 %")).charges is not None


def test_a_gate_by_class_divides_its_level():
    told = made(PLAN.replace("on_fail: rollback", "per: class"))
    assert told.plan.watches[0].gate.alpha == pytest.approx(0.05 / 3)


def test_an_aws_rate_becomes_a_ramp_per_second():
    steps = PLAN[PLAN.index("  steps:") : PLAN.index("gates:")]
    rate = (
        "  rate: {baseRatePerMinute: 60, incrementFactor: 2.0, maximumPerMinute: 600,\n"
        "         rateIncreaseCriteria: {numberOfSucceededThings: 50}}\n"
    )
    ramp = made(PLAN.replace(steps, rate)).plan.strategy
    assert (ramp.base_per_s, ramp.most_per_s, ramp.factor, ramp.after, ramp.of_succeeded) == (1.0, 10.0, 2.0, 50, True)


def test_the_check_in_protocol_says_when_devices_ask():
    told = made(PLAN.replace("availability: diurnal", "availability: diurnal\n  protocol: {check_in: {every: 2 h}}"))
    assert (told.plan.audience.every_s, told.plan.audience.slop_s) == (7200.0, 300.0)
    assert made().plan.audience.every_s == 0.0


def test_power_is_told_of_each_wave_before_anything_is_rehearsed(finished):
    rows = {row["wave"]: row for row in finished.summary["gates"]}
    assert rows["10 %"]["n"] == pytest.approx(0.1 * 240 * 0.95, abs=2)
    assert rows["100 %"]["power"] > rows["10 %"]["power"]
    assert 0.01 < rows["100 %"]["mde"] < rows["10 %"]["mde"] < 1.0
    assert np.isclose(rows["10 %"]["effect"], 0.3)
