"""Every mistake in a plan, with its line, key, value and remedy."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.validate import validate

STRATEGY = [
    (
        "steps:\n    - setWeight: 10 %\n    - setWeight: 5 %",
        (
            "plan.yaml:9:18: strategy.steps.1.setWeight: got 5 % after 10 %, but devices that have a model keep it; "
            "write 10 % or more, or let a gate roll back"
        ),
    ),
    (
        "steps:\n    - pause: {duration: 1 h}",
        "plan.yaml:8:5: strategy.steps: got no setWeight above 0 %, so no device is let in; add 'setWeight: 1 %'",
    ),
    (
        "steps:\n    - setWeight: 1 %\n      pause: {}",
        (
            "plan.yaml:8:7: strategy.steps.0: got setWeight and pause in one step, expected one of setWeight, pause, "
            "analysis; write one list entry for each"
        ),
    ),
    (
        "steps:\n    - setWeight: 20",
        "plan.yaml:8:18: strategy.steps.0.setWeight: got 20, expected 0 % to 100 %; write '20 %'",
    ),
    (
        "waves:\n    - percent: 60 %\n    - {percent: 50 %, after: 1 d}",
        (
            "plan.yaml:9:17: strategy.waves.1.percent: got waves of 110 % of the same devices up to here, "
            "expected at most "
            "100 %; write 40 % or less, or 'rest: true'"
        ),
    ),
    (
        "waves:\n    - rest: true\n    - {percent: 5 %, after: 1 d}",
        (
            "plan.yaml:9:7: strategy.waves.1: got a wave after wave 1, which takes the rest of the same devices; "
            "remove it, or let the rest come last"
        ),
    ),
    (
        "waves:\n    - percent: 5 %\n    - rest: true",
        (
            "plan.yaml:9:7: strategy.waves.1: got no time at which the wave begins; "
            "add 'after: 24 h', 'start: 3 d' or 'installed: 50 %'"
        ),
    ),
    (
        "waves:\n    - {percent: 5 %, after: 1 h}\n    - {rest: true, after: 1 h}",
        (
            "plan.yaml:8:7: strategy.waves.0: got a condition on the wave before, but this is the first; "
            "write 'start: ...'"
        ),
    ),
    (
        "waves:\n    - percent: 5 %\n    - {percent: 5 %, start: 2 d}\n    - {rest: true, start: 1 d}",
        "plan.yaml:10:27: strategy.waves.2.start: got 1 d, earlier than the wave before at 2 d; write 2 d or later",
    ),
    (
        "waves:\n    - percent: 5 %\n    - {percent: 5 %, installed: 50 %}\n    - {rest: true, start: 1 d}",
        (
            "plan.yaml:10:27: strategy.waves.2.start: got a time from the beginning, but when the wave before "
            "begins is not "
            "known in advance; write 'after: ...' for the time from the wave before"
        ),
    ),
    (
        "waves: []",
        (
            "plan.yaml:7:10: strategy.waves: got an empty list, expected at least one of the waves; "
            "add one, or remove the key"
        ),
    ),
    (
        "waves:\n    - {percent: 5 %, count: 10}\n    - {rest: true, after: 1 d}",
        (
            "plan.yaml:8:7: strategy.waves.0: got percent and count, expected one of percent, count and rest; "
            "keep or add one"
        ),
    ),
    (
        "waves:\n    - {percent: 5 %, filter: {tiers: [mcu]}}\n    - {rest: true, after: 1 d}",
        (
            "plan.yaml:8:38: strategy.waves.0.filter.tiers: got 'mcu', a tier of which the fleet has no device; "
            "write one of phone-high, phone-low"
        ),
    ),
    (
        "preset: aple-phased",
        (
            "plan.yaml:7:11: strategy.preset: got 'aple-phased', expected a preset out of apple-phased, "
            "aws-exponential, "
            "hawkbit-groups, mender-phases, play-staged; write 'apple-phased'"
        ),
    ),
    (
        "preset: apple-phased\n  rate: {maximumPerMinute: 5}",
        "plan.yaml:7:3: strategy: got preset and rate of preset, steps, waves and rate, expected one of them; keep one",
    ),
    (
        "rate: {maximumPerMinute: 5000}",
        "plan.yaml:7:28: strategy.rate.maximumPerMinute: got 5000, expected 1000 or less; choose a value in this range",
    ),
    (
        "rate: {baseRatePerMinute: 50, incrementFactor: 1.55, maximumPerMinute: 500}",
        (
            "plan.yaml:7:50: strategy.rate.incrementFactor: got 1.55, expected one decimal, which is what AWS takes; "
            "write 1.6"
        ),
    ),
    (
        "rate: {baseRatePerMinute: 50, maximumPerMinute: 500}",
        (
            "plan.yaml:7:9: strategy.rate: got no incrementFactor and no rateIncreaseCriteria for a rate that grows; "
            "add it, or keep the maximum only"
        ),
    ),
]


@pytest.mark.parametrize(("strategy", "line"), STRATEGY)
def test_a_mistaken_strategy_is_refused(plans, strategy, line):
    assert plans.mistakes(strategy=f"strategy:\n  {strategy}\n", gates="") == [line]


def test_an_analysis_before_any_exposure_is_refused(plans):
    early = "strategy:\n  steps:\n    - setWeight: 0 %\n    - analysis: [installs]\n    - setWeight: 100 %\n"
    assert plans.mistakes(strategy=early) == [
        (
            "plan.yaml:9:17: strategy.steps.1.analysis: got an analysis before any device has the model, which sees "
            "nothing; move it behind a setWeight and a pause"
        )
    ]


def test_an_analysis_of_an_unknown_gate_is_refused_with_the_nearest(plans):
    text = plans.changed().replace("analysis: [installs]", "analysis: [installz]")
    found = plans.mistakes(strategy=text[text.index("strategy") : text.index("gates")])
    assert found == [
        "plan.yaml:10:17: strategy.steps.2.analysis: got 'installz', which is no gate of the plan; write 'installs'",
        (
            "plan.yaml:13:5: gates.0: got the gate 'installs', at which nobody looks; add 'every: 1 h', or name "
            "it in an "
            "'analysis' of the strategy"
        ),
    ]


GATES = [
    (
        "metric: revenue, method: exact, baseline: 1 %",
        (
            "plan.yaml:13:30: gates.0.metric: got 'revenue', expected a metric that devices tell out of accuracy, "
            "battery_per_day, crash, install_failure, latency_p95; write one of these"
        ),
    ),
    (
        "metric: TODO, method: exact, baseline: 1 %",
        (
            "plan.yaml:13:30: gates.0.metric: got the stub TODO, which an import leaves where it knows nothing; "
            "write 'metric: install_failure'"
        ),
    ),
    (
        "metric: install_failure, method: threshold, threshold: TODO",
        (
            "plan.yaml:13:77: gates.0.threshold: got the stub TODO, which an import leaves where it knows nothing; "
            "write 'threshold: 5 %'"
        ),
    ),
    (
        "metric: accuracy, method: exact, baseline: 1 %",
        (
            "plan.yaml:13:48: gates.0.method: got 'exact' on 'accuracy', which is continuous; "
            "write one of mann-whitney, msprt, or another metric"
        ),
    ),
    (
        "metric: crash, method: mann-whitney, control: 5 %",
        (
            "plan.yaml:13:45: gates.0.method: got 'mann-whitney' on 'crash', which is binary; "
            "write one of threshold, exact, z, sequential, or another metric"
        ),
    ),
    (
        "metric: install_failure, method: sequential, control: 5 %",
        (
            "plan.yaml:13:55: gates.0.method: got 'sequential' against a control arm on 'install_failure', which "
            "held-out devices never tell; write one of exact, sequential with 'baseline: 1 %', or threshold"
        ),
    ),
    (
        "metric: crash, method: sequential",
        (
            "plan.yaml:13:5: gates.0: got method 'sequential' without baseline or control, so there is nothing "
            "to compare "
            "with; add 'baseline: 1 %' or add 'control: 5 %'"
        ),
    ),
    (
        "metric: accuracy, method: mann-whitney",
        (
            "plan.yaml:13:5: gates.0: got method 'mann-whitney' without control, so there is nothing to compare with; "
            "add 'control: 5 %'"
        ),
    ),
    (
        "metric: crash, method: exact, baseline: 1 %, threshold: 5 %",
        (
            "plan.yaml:13:78: gates.0.threshold: got threshold with method 'exact', which does not read it; "
            "remove it, or write one of threshold"
        ),
    ),
    (
        "metric: crash, method: exact, baseline: 1 %, direction: decrease",
        "plan.yaml:13:78: gates.0.direction: got 'decrease' on 'crash', of which less is better; remove it",
    ),
    (
        "metric: crash, method: exact, baseline: 2 %, effect: 1 %",
        (
            "plan.yaml:13:75: gates.0.effect: got 1 %, expected the share of a bad build, between 2 % and 100 %; "
            "choose a share in this range"
        ),
    ),
    (
        "metric: crash, method: exact, baseline: 2 %, from_step: 2",
        "plan.yaml:13:78: gates.0.from_step: got from_step without 'every', so nothing starts there; add 'every: 1 h'",
    ),
    (
        "metric: crash, method: exact, baseline: 2 %, from_step: 3, every: 1 h",
        "plan.yaml:13:78: gates.0.from_step: got 3, but the strategy lets devices in 2 times; write 2 or less",
    ),
]


@pytest.mark.parametrize(("gate", "line"), GATES)
def test_a_mistaken_gate_is_refused(plans, gate, line):
    assert plans.mistakes(gate=f"{{name: installs, {gate}}}") == [line]


def test_a_metric_that_nobody_tells_is_refused(plans):
    found = plans.mistakes(
        gate="{name: installs, metric: crash, method: exact, baseline: 1 %}",
        variant="{name: int8, bytes: 4 MB, memory: 20 MiB, macs: 1e6, accuracy: 70 %}\n  use: {per_day: 0}",
    )
    assert found == [
        (
            "plan.yaml:14:30: gates.0.metric: got 'crash', which no device tells with 'use: {per_day: 0}'; "
            "raise model.use.per_day, or watch install_failure"
        )
    ]


def test_one_hold_out_serves_all_gates(plans):
    gates = (
        "{name: installs, metric: crash, method: z, control: 5 %}\n"
        "  - {name: installs, metric: accuracy, method: msprt, control: 10 %, every: 1 h}"
    )
    assert plans.mistakes(gate=gates) == [
        "plan.yaml:14:12: gates.1.name: got 'installs' twice; give each a name of its own",
        (
            "plan.yaml:14:64: gates.1.control: got 10 %, but the gate 'installs' holds out 5 %, and one hold-out "
            "serves "
            "all gates; write the same share"
        ),
    ]


def test_a_gate_of_a_rate_must_say_how_often_it_is_looked_at(plans):
    assert plans.mistakes(strategy="strategy: {rate: {maximumPerMinute: 5}}\n") == [
        "plan.yaml:8:5: gates.0: got the gate 'installs', at which nobody looks; add 'every: 1 h'"
    ]


VARIANTS = [
    (
        "bytes: 4 MB, memory: 3 GiB, macs: 1e6, accuracy: 70 %",
        (
            "plan.yaml:5:7: model.variants.0: got 'v', which no class of the fleet can run (pixel-4: memory: "
            "3.22 GB is "
            "needed, a job may take 805 MB); lower what it requires, make it smaller, or remove it"
        ),
    ),
    (
        "bytes: 9 GB, memory: 3 MiB, macs: 1e6, accuracy: 70 %",
        (
            "plan.yaml:5:7: model.variants.0: got 'v', which no class of the fleet can run (pixel-4: storage: 9 GB is "
            "needed, 4 GB is free); lower what it requires, make it smaller, or remove it"
        ),
    ),
    (
        "bytes: 9 MB, memory: 3 MiB, latency: 80 ms, accuracy: 70 %, requires: {latency: 50 ms}",
        (
            "plan.yaml:5:7: model.variants.0: got 'v', which no class of the fleet can run (pixel-4: latency: an "
            "inference "
            "takes 80 ms of at most 50 ms); lower what it requires, make it smaller, or remove it"
        ),
    ),
    (
        "bytes: 9 MB, memory: 3 MiB, macs: 1e6, accuracy: 70 %, requires: {tiers: [mcu]}",
        (
            "plan.yaml:5:7: model.variants.0: got 'v', which no class of the fleet can run (pixel-4: requires "
            "names other "
            "devices); lower what it requires, make it smaller, or remove it"
        ),
    ),
    (
        "bytes: 9 MB, accuracy: 70 %",
        (
            "plan.yaml:5:7: model.variants.0: got no memory and no macs, network or latency, which only a run "
            "would tell; "
            "add them, or 'run: ...'"
        ),
    ),
    (
        "bytes: 9 MB, memory: 3 MiB, macs: 1e6, network: ds-cnn, accuracy: 70 %",
        (
            "plan.yaml:5:7: model.variants.0: got macs and network, expected one of macs, network and latency; "
            "keep the one that was measured"
        ),
    ),
    (
        "bytes: 9 MB, memory: 3 MiB, macs: 1e6, accuracy: {phone-low: 60 %}",
        (
            "plan.yaml:5:66: model.variants.0.accuracy: got nothing for pixel-4 (phone-high), which can run 'v'; "
            "add 'any: ...', or its tier"
        ),
    ),
    (
        "artifact: gone.bin, memory: 3 MiB, macs: 1e6, accuracy: 70 %",
        "plan.yaml:5:27: model.variants.0.artifact: got 'gone.bin', which is not there; put it at",
    ),
    (
        "run: gone",
        "plan.yaml:5:22: model.variants.0.run: got 'gone', which is not there; put it at",
    ),
]


@pytest.mark.parametrize(("variant", "line"), VARIANTS)
def test_a_mistaken_variant_is_refused(plans, variant, line):
    found = plans.mistakes(variant=f"{{name: v, {variant}}}")
    assert len(found) == 1
    assert found[0].startswith(line)


def test_the_fleets_own_budgets_count_against_a_variant(plans):
    small = "{devices: 9, mix: {pixel-4: 1}, budgets: {memory: 10 MiB}}"
    assert "memory: 21 MB is needed, a job may take 10.5 MB" in plans.mistakes(fleet=small)[0]


MORE = [
    (
        "horizon: 12 h\n",
        (
            "plan.yaml:14:10: horizon: got 12 h, but the plan's own pauses take 1 d until its last devices are let in; "
            "write more than 1 d, or shorten the pauses"
        ),
    ),
    (
        "worlds:\n  - {name: bad, changes: {install_failure: 9 %}, on: {tiers: [wearable]}}\n",
        (
            "plan.yaml:15:62: worlds.0.on.tiers: got 'wearable', a tier of which the fleet has no device; "
            "write one of phone-high, phone-low"
        ),
    ),
    (
        "worlds:\n  - {name: bad, on: {profiles: [pixel-5]}}\n",
        (
            "plan.yaml:15:32: worlds.0.on.profiles: got 'pixel-5', a profile of which the fleet has no device; "
            "write 'pixel-4'"
        ),
    ),
    (
        "download: {most_metered: 20 MB}\n",
        (
            "plan.yaml:14:26: download.most_metered: got most_metered with 'unmetered: true', by which nothing "
            "is fetched "
            "over a metered network; write 'unmetered: false', or remove it"
        ),
    ),
    (
        "download: {window: [22 h, 25 h]}\n",
        "plan.yaml:14:27: download.window.1: got '25 h', expected 0.0 s to 1 d; choose a value in this range",
    ),
    (
        "audience: {auto_update: 80 %}\n",
        (
            "plan.yaml:14:25: audience.auto_update: got 80 % without 'adoption', which says when the others are "
            "updated; "
            "add 'adoption: {shares: [35.3 %, 32.9 %], means: [1.62 d, 28.3 d]}', or write 'opt_out' for those "
            "who never "
            "are"
        ),
    ),
    (
        "audience: {adoption: {shares: [80 %, 40 %], means: [1 d, 2 d]}}\n",
        (
            "plan.yaml:14:31: audience.adoption.shares: got shares that add up to 120 %, expected at most 100 %; "
            "lower a share"
        ),
    ),
    (
        "audiense: {opt_out: 1 %}\n",
        (
            "plan.yaml:14:1: audiense: got an unknown key, expected one of name, description, seed, schema, "
            "replications, horizon, "
            "fleet, audience, model, download, strategy, gates, worlds; write 'audience'"
        ),
    ),
]


@pytest.mark.parametrize(("more", "line"), MORE)
def test_other_mistakes_are_refused(plans, more, line):
    found = plans.mistakes(more)
    assert any(one.startswith(line) for one in found), found
    assert len(found) == 1


def test_rules_of_training_have_no_place_in_a_plan(plans):
    found = plans.mistakes(fleet="{devices: 1000, mix: {pixel-4: 1, galaxy-a21s: 1}, rules: {idle: false}}")
    assert found == [
        (
            "plan.yaml:2:66: fleet.rules: got rules, which say whom training asks; "
            "write the conditions of a download under 'download'"
        )
    ]


def test_stubs_are_named_with_what_belongs_there_and_hide_no_other_mistake(plans):
    text = plans.changed(fleet="TODO", strategy="strategy:\n  steps:\n    - setWeight: 9 %\n    - setWeight: 5 %\n")
    text = text.replace(text[text.index("model:") : text.index("strategy:")], "model: TODO\n")
    found = plans.mistakes(fleet="TODO")
    assert found == [
        (
            "plan.yaml:2:8: fleet: got the stub TODO, which an import leaves where it knows nothing; "
            "write 'fleet: {devices: 10000, mix: consumer-phones}', or 'fleet: {scenario: path.yaml}'"
        )
    ]
    from fedlite.errors import InvalidFileError
    from fedlite.scenario.rollout.loading import parse_rollout

    with pytest.raises(InvalidFileError) as error:
        parse_rollout(text, "plan.yaml")
    assert [problem.key for problem in error.value.problems] == [
        "fleet",
        "model",
        "strategy.steps.1.setWeight",
        "gates.0",
    ]
    assert error.value.problems[1].remedy.startswith("write 'model: {variants: [{name: int8, bytes: 60 kB")


def run(*arguments):
    app = typer.Typer()
    app.command()(validate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_validate_knows_a_plan_by_its_keys(plans, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(plans.text)
    assert run(path).stdout == f"{path}: this rollout is in order\n"
    path.write_text(plans.changed("horizon: 1 h\n"))
    told = run(path, "--json")
    assert told.exit_code == 2
    record = json.loads(told.stdout)
    assert (record["kind"], [one["key"] for one in record["problems"]]) == ("rollout", ["horizon"])
    # A scenario with a misplaced key stays a scenario.
    path.write_text("name: s\ntask: {data: digits, model: mlp}\nstrategy: fedavg\nmodel: mlp\n")
    assert json.loads(run(path, "--json").stdout)["kind"] == "scenario"


def test_every_metric_and_method_of_a_plan_is_one_that_a_rehearsal_knows():
    from fedlite.rollout import gates as known
    from fedlite.rollout.signals import BINARY, METRICS
    from fedlite.scenario.rollout import gates

    assert set(gates.METRICS) == set(METRICS)
    assert {name for name, metric in gates.METRICS.items() if metric.kind == gates.BINARY} == set(BINARY)
    assert set(gates.METHODS) == set(known.METHODS)
    for name, method in gates.METHODS.items():
        reads = known.METHODS[name].reads
        assert method.reads == {gates.BINARY if reads == "failures" else gates.CONTINUOUS}, name
