"""`plan: auto` in a scenario: what is chosen, what the tables say, and that it can be trained."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fedlite.compose import fleet
from fedlite.compose.learning import prepare
from fedlite.compose.shipping import pack
from fedlite.compression.plan import Plan
from fedlite.compression.structure.full import FULL, Full
from fedlite.compression.structure.width import Width
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.errors import FedliteError
from fedlite.report.console import summary_table
from fedlite.runner import Settings, run
from fedlite.scenario import fit_laws
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile

SCENARIO = """
name: autos
seed: 3
fleet:
  devices: 12
  mix: {pixel-4: 50 %, nucleo-h7a3zi: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, clients: 12, model: {name: mlp, options: {hidden: [2048]}}}
training: {rounds: 1, clients_per_round: 6, local: {batch_size: 8}}
clients: [{for: any, plan: auto}]
"""


def classes(text=SCENARIO, **changes):
    scenario = parse_scenario(text, overrides={key.replace("__", "."): value for key, value in changes.items()})
    return {made.profile.name: made for made in fleet.classes(scenario, prepare(scenario))}


def test_a_phone_keeps_the_full_model_and_a_microcontroller_a_slice_that_fits_its_memory():
    found = classes()
    assert found["pixel-4"].plan.is_full
    small = found["nucleo-h7a3zi"]
    assert small.plan.structure.share < 1
    assert not small.excluded
    assert small.work.peak_bytes <= small.profile.job_ram_bytes.value
    assert "training takes" in small.plan_reason
    assert "a job may have" in small.plan_reason


def test_the_next_milder_width_would_not_have_fitted():
    small = classes()["nucleo-h7a3zi"]
    milder = {0.75: 1.0, 0.5: 0.75, 0.25: 0.5, 0.125: 0.25}[small.plan.structure.share]
    text = SCENARIO.replace("plan: auto", f"plan: {{width: {milder}}}")
    told = classes(text)["nucleo-h7a3zi"]
    assert told.work.peak_bytes > told.profile.job_ram_bytes.value
    assert told.plan_reason == ""


def test_a_deadline_is_met_with_a_smaller_codec_before_a_smaller_model():
    link = {"fleet__network__access": "nb-iot"}
    free = classes(**link)["pixel-4"]
    assert free.plan.up == ("fp32",)
    hurried = classes(**link, training__deadline="5 min")["pixel-4"]
    assert not hurried.excluded
    assert (hurried.plan.structure, hurried.plan.up) == (FULL, ("int8", "zstd"))
    assert "its deadline is 5 min" in hurried.plan_reason


def width_of(share):
    return Full() if share == 1 else Width(share)


LIMITED = """
name: limited
seed: 3
fleet: {devices: 2, mix: {pi-4b: 100 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digits, clients: 2, model: mlp}
training: {rounds: 1, clients_per_round: 2, local: {batch_size: 8}}
clients: [{for: any, plan: auto, limits: LIMITS}]
"""


@pytest.fixture(scope="module")
def shipped():
    """What every width and delivery comes to on a board: really packed, and priced by its profile."""
    scenario = parse_scenario(LIMITED.replace("LIMITS", "{up: 1 MB}"))
    learning, board = prepare(scenario), load_profile("pi-4b")
    made = {}
    for share in (1.0, 0.75, 0.5, 0.25, 0.125):
        for name, deliveries in (("", ()), ("int8", (StaticQuantization(),))):
            one = pack(learning.ware(learning.arrays), Plan(structure=width_of(share), deliveries=deliveries))
            takes = len(one.file), float(one.latency(board).value), float(one.energy(board).value)
            made[share, name] = (*takes, float(one.memory(board).value))
    return made


@pytest.mark.parametrize("factors", [(0.2, 1, 9, 9), (9, 0.9, 9, 9), (9, 9, 0.86, 0.1), (9, 9, 9, 0.02)])
def test_limits_on_what_is_shipped_give_the_exhaustive_optimum(shipped, factors):
    most = [factor * takes for factor, takes in zip(factors, shipped[1.0, ""], strict=True)]
    units = zip(("stored", "latency", "energy", "inference_memory"), most, ("B", "s", "J", "B"), strict=True)
    limits = "{" + ", ".join(f"{name}: {value} {unit}" for name, value, unit in units) + "}"
    found = classes(LIMITED.replace("LIMITS", limits))["pi-4b"]
    fitting = [kind for kind, takes in shipped.items() if all(a <= b for a, b in zip(takes, most, strict=True))]
    if not fitting:
        assert found.excluded.startswith("no plan fits")
        assert len(found.choice.rejected) == 4 * len(shipped)
        return
    share, delivery = fitting[0]
    assert found.plan.structure == width_of(share)
    assert bool(found.plan.deliveries) == bool(delivery)
    assert found.plan.up == ("fp32",)
    told = {one.plan.name: one.obstacles for one in found.choice.rejected}
    assert "latency" in told["auto: full"] or "stored" in told["auto: full"] or "inference energy" in told["auto: full"]


AMONG = """
name: menu
seed: 3
fleet: {devices: 2, mix: {pi-4b: 50 %, nucleo-h7a3zi: 50 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digits, clients: 2, model: mlp}
training: {rounds: 1, clients_per_round: 2, local: {batch_size: 8}}
clients:
  - for: {profile: pi-4b}
    plan: auto
    limits: {stored: 8 kB}
    among:
      quarter: {width: 0.25}
      packed: {techniques: [static-int8]}
      misfit: {deliveries: [early-exit]}
      whole: full
"""


def test_own_candidates_are_tried_from_the_last_on_and_the_rejected_are_in_the_summary(tmp_path, monkeypatch):
    # Where the model is known when the file is read, what does not apply to it is refused there.
    with pytest.raises(FedliteError, match=r"among\.misfit: got a Sequential without several exits"):
        parse_scenario(AMONG)
    monkeypatch.setattr(fit_laws, "_ship", lambda *_: None)
    done = run(parse_scenario(AMONG), out=tmp_path / "run", settings=Settings("local"))
    (told,) = done.summary["auto"]
    assert (told["profile"], told["chosen"]) == ("pi-4b", "packed")
    assert [one["plan"] for one in told["rejected"]] == ["whole", "misfit"]
    assert told["rejected"][0]["over"]["stored"]["times"] > 1
    assert set(told["rejected"][1]["over"]) == {"delivery"}
    assert "packed" in set(done.fleet["plan"])
    assert {one["plan"] for one in done.summary["delivered"]} == {"packed"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Plans that were not chosen" in page
    assert "misfit" in page
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(tmp_path / "run"))
    assert "auto, pi-4b: Packed is the mildest plan that fits" in console.export_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("plan: auto", "plan: full", "got limits without 'plan: auto'"),
        ("plan: auto", "plan: {auto: true, up: fp16}", "got 'auto' with keys of its own beside among"),
        ("whole: full", "whole: auto", "got 'auto' among plans"),
        ("stored: 8 kB", "stored: 0 B", "stored"),
    ],
)
def test_what_does_not_go_together_is_refused(old, new, said):
    with pytest.raises(FedliteError, match=said):
        parse_scenario(AMONG.replace(old, new))


def test_a_month_of_metered_bytes_must_hold_a_job():
    text = SCENARIO.replace("[2048]", "[64]").replace("  rules:", "  network: {access: lte}\n  rules:")
    assert classes(text)["pixel-4"].plan.is_full
    capped = classes(text.replace("  rules:", "  budgets: {metered_per_month: 30 kB}\n  rules:"))["pixel-4"]
    assert capped.plan.up != ("fp32",)
    assert "over a metered link, a month allows 30 kB" in capped.plan_reason


def test_told_codecs_stay():
    text = SCENARIO.replace("plan: auto", "plan: {auto: true, up: fp16}")
    found = classes(text, fleet__network__access="nb-iot", training__deadline="5 min")["pixel-4"]
    assert found.plan.up == ("fp16",)


def test_a_class_that_no_plan_fits_is_left_out_with_the_reason_and_the_run_goes_on(tmp_path):
    scenario = parse_scenario(SCENARIO.replace("[2048]", "[32768]"))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"))
    (out,) = done.summary["excluded"]
    assert out["profile"] == "nucleo-h7a3zi"
    assert out["reason"].startswith("no plan fits: even with width 0.125")
    assert done.fleet.filter(profile="pixel-4")["plan_reason"].item() == "The full plan fits."


def test_the_reason_stands_in_the_table_of_classes_and_on_the_page(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    row = done.fleet.filter(profile="nucleo-h7a3zi")
    assert row["plan"].item().startswith("auto: width")
    assert "is the mildest plan that fits" in row["plan_reason"].item()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Why this plan" in page
    assert "is the mildest plan that fits" in page
    assert row["arrived"].item() > 0


def test_a_run_without_automatic_plans_has_no_reasons(tmp_path):
    scenario = parse_scenario(SCENARIO.replace("plan: auto", "plan: {width: 0.125}"))
    done = run(scenario, out=tmp_path / "run", settings=Settings("local"))
    assert set(done.fleet["plan_reason"]) == {""}
    assert "Why this plan" not in (tmp_path / "run" / "report.html").read_text()


def test_if_no_plan_fits_anybody_the_error_says_why():
    text = SCENARIO.replace("  rules:", "  budgets: {memory: 1 kB}\n  rules:")
    with pytest.raises(FedliteError, match=r"no device class that can take part.*no plan fits: even with width 0.125"):
        run(parse_scenario(text), settings=Settings("local"))
