"""The strict YAML reader and the place that every mistake is given."""

from __future__ import annotations

import difflib

import pytest

from fedlite.errors import MOST_PROBLEMS, InvalidFileError
from fedlite.scenario import names
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import load_fleet, load_scenario, parse_scenario
from fedlite.scenario.strict_yaml import MAX_CHARACTERS, MAX_NODES, read, read_bytes, scalar

FLEET = """\
name: small
fleet:
  devices: 20
  mix: {phone: 80 %, watch: 20 %}
"""
WHOLE = FLEET + "task: {data: digits, model: mlp}\n"


@pytest.fixture(autouse=True)
def _two_profiles(monkeypatch):
    monkeypatch.setattr(names, "profiles", lambda: ["phone", "watch"])


def mistakes(text, overrides=None):
    with pytest.raises(InvalidFileError) as caught:
        parse_scenario(text, "x.yaml", overrides)
    return [str(problem) for problem in caught.value.problems]


def problem_of(text):
    document = read(text, "x.yaml")
    assert document.problems, document.value
    return str(document.problems[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-.5E+3", -500.0),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("~", None),
        ("", None),
        ("2026-11-21", "2026-11-21"),
        ("3.1 Wh", "3.1 Wh"),
        (".inf", float("inf")),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(text, value):
    got = scalar(text)
    assert got == value
    assert type(got) is type(value)


def test_a_quoted_scalar_is_always_text():
    assert read("a: '1'\nb: \"true\"\nc: |\n  7\n", "x").value == {"a": "1", "b": "true", "c": "7\n"}


def test_every_key_and_value_has_its_place():
    document = read("a:\n  - b: 1\n    c:   two\n", "x.yaml")
    key, value = document.keys["a", 0, "c"], document.values["a", 0, "c"]
    assert (key.line, key.column, value.line, value.column) == (3, 5, 3, 10)


@pytest.mark.parametrize(
    ("text", "start", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: a:", "the key twice (first on line 1); keep one"),
        ("a:\n\tb: 1\n", "x.yaml:2:1:", "indent with spaces, never with tabs"),
        ("a: [1, 2\n", "x.yaml:2:1:", "check indentation, brackets and quotes"),
        ("a: b: c\n", "x.yaml:1:5:", "mapping values are not allowed"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1:", "one document"),
        ("1: a\n", "x.yaml:1:1:", "got the key 1, expected text; quote it: '1'"),
        ("true: a\n", "x.yaml:1:1:", "YAML 1.1 reads on, yes and true as one and the same; write the word"),
        ("no: a\nFalse: b\n", "x.yaml:2:1:", "got the key False, expected text; YAML 1.1 reads off, no and false"),
        ("? [a, b]\n: 1\n", "x.yaml:1:3:", "a list or mapping as a key"),
        ("a: !!python/object/apply:os.system [ls]\n", "x.yaml:1:4:", "without a tag"),
        ("a: !!str 1\n", "x.yaml:1:4:", "without a tag"),
        ("a: &x [*x]\n", "x.yaml:1:4: a.0:", "an alias that holds itself"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "x.yaml:2:5: c.<<:", "write the keys out"),
        ("a: *x\n", "x.yaml:1:4:", "undefined alias"),
        ("a: " + "[" * 50 + "]" * 50, "x.yaml:1:", "nested deeper than 40 levels"),
        ("a: " + "1" * 50, "x.yaml:1:4: a:", "a number of 50 characters"),
        ("a: \x07\n", "x.yaml:1:4:", "#x0007"),
        ("a: " + "x" * MAX_CHARACTERS, "x.yaml:1:1:", "at most 250000"),
    ],
)
def test_a_yaml_mistake_has_its_place_and_a_remedy(text, start, part):
    told = problem_of(text)
    assert told.startswith(start)
    assert part in told


def test_an_alias_bomb_is_refused_before_it_expands():
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "expand to over 10000 values" in problem_of("\n".join(layers))


def test_a_file_of_very_many_values_is_refused_where_they_are_too_many():
    told = problem_of("b:\n" + "- 1\n" * MAX_NODES)
    assert told.startswith(f"x.yaml:{MAX_NODES - 1}:3: (file): got over {MAX_NODES} keys and values")


def test_of_very_many_mistakes_the_first_are_told_and_how_many_more_there_are(monkeypatch):
    asked = []
    search = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda *given, **how: asked.append(1) or search(*given, **how))
    keys = "".join(f"unknown{n}: 1\n" for n in range(1000))
    rules = "clients:\n" + "  - {for: {tier: mcuu}, plan: {widht: 1}}\n" * 300
    for text, count in ((WHOLE + keys, 1000), (WHOLE + rules, 600)):
        told = mistakes(text)
        assert len(told) == MOST_PROBLEMS + 1
        assert f"got {count - MOST_PROBLEMS} more mistakes than the {MOST_PROBLEMS} told here" in " ".join(told)
    assert 0 < len(asked) <= 2 * 2 * MOST_PROBLEMS
    assert len(mistakes(WHOLE + "".join(f"unknown{n}: 1\n" for n in range(MOST_PROBLEMS)))) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WHOLE.replace("phone: 80 %", ", ".join(f"p{n}: 1" for n in range(200))), "got 201 profiles, expected at most"),
        (WHOLE + "clients:\n" + "  - {for: any, plan: full}\n" * 301, "clients: got 301 rules, expected at most 300"),
        (
            WHOLE + f"clients: [{{for: any, plan: {{terms: [{', '.join('x' * 21)}]}}}}]\n",
            "clients.0.plan.terms: got 21 terms, expected at most 20",
        ),
    ],
)
def test_lists_longer_than_anybody_writes_are_refused_whole(text, told):
    (only,) = mistakes(text)
    assert told in only


def test_a_value_is_quoted_only_as_far_as_anybody_reads():
    for long in ("x" * 5000, "pkg:" + "x" * 5000):
        for text in (f"'{long}'", WHOLE.replace("digits", long), WHOLE.replace("20\n", f"20\n  start: {long}\n")):
            told = mistakes(text)
            assert all("... (50" in line for line in told)
            assert all(len(line) < 1000 for line in told)


def test_an_alias_is_written_out_where_it_stands():
    assert read("a: &x {b: 1}\nc: *x\n", "x").value == {"a": {"b": 1}, "c": {"b": 1}}


def test_several_yaml_mistakes_are_all_told():
    assert len(read("a: 1\na: 2\n2: 3\nb: {c: 1, c: 2}\n", "x").problems) == 3


def test_bytes_that_are_no_utf8_have_their_place():
    assert str(read_bytes(b"a: 1\nb: \xff\n", "x.yaml").problems[0]).startswith("x.yaml:2:4: (file): got the byte 0xff")


def test_a_byte_order_mark_is_ignored():
    assert read_bytes(b"\xef\xbb\xbfa: 1\n", "x").value == {"a": 1}


def test_a_small_scenario_has_sensible_defaults():
    scenario = parse_scenario(WHOLE)
    assert scenario.fleet.mix == {"phone": 0.8, "watch": 0.2}
    assert (scenario.training.strategy.name, scenario.cohort, scenario.wire.up) == ("fedavg", 10, ("fp32",))
    assert scenario.fleet.rules.charging
    assert scenario.task.partition.kind == "iid"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            WHOLE.replace("devices: 20", "devices: 20\n  budgets: {energy_per_day: '3.1'}"),
            "x.yaml:4:29: fleet.budgets.energy_per_day: got '3.1' without a unit, expected an energy; write '3.1 Wh'",
        ),
        (WHOLE + "trainig: {}\n", "x.yaml:6:1: trainig: got an unknown key, expected one of name, "),
        (WHOLE + "trainig: {}\n", "; write 'training'"),
        (WHOLE + "training: {local: {momentun: 1}}\n", "x.yaml:6:20: training.local.momentun: got an unknown key"),
        (WHOLE + "training: {local: {momentun: 1}}\n", "; write 'momentum'"),
        (WHOLE.replace("digits", "digit"), "x.yaml:5:14: task.data: got 'digit', expected a dataset"),
        (WHOLE.replace("digits", "digit"), "; write 'digits'"),
        (
            WHOLE.replace(", model: mlp", ""),
            "x.yaml:5:1: task.model: got nothing, expected the model; add 'model: ...'",
        ),
        (WHOLE.replace("mlp", "{name: mpl}"), "x.yaml:5:36: task.model.name: got 'mpl', expected a model out of"),
        (WHOLE.replace("phone", "phon"), "x.yaml:4:9: fleet.mix.phon: got 'phon', expected a device profile"),
        (WHOLE.replace("80 %", "70 %"), "x.yaml:4:8: fleet.mix: got shares that add up to 90 %, expected 100 %"),
        (WHOLE + "seed: '7'\n", "x.yaml:6:7: seed: got '7', expected a whole number; write it without quotes"),
        (WHOLE + f"seed: {10**30}\n", "expected less than 9223372036854775808"),
        (WHOLE + f"training: {{rounds: {10**30}}}\n", "training.rounds: got 1000000000000000000000000000000, expected"),
        (WHOLE.replace("20\n", "20\n  availability:\n"), "fleet.availability: got nothing, expected a section of keys"),
        (WHOLE + "seed: 7.0\n", "x.yaml:6:7: seed: got 7.0, expected a whole number"),
        (WHOLE + "seed: -1\n", "x.yaml:6:7: seed: got -1, expected 0 or more"),
        (WHOLE + "training: {local: {lr: .nan}}\n", "training.local.lr: got nan, expected"),
        (
            WHOLE + "training: {strategy: fedadm}\n",
            "x.yaml:6:22: training.strategy: got 'fedadm', expected one of fedavg, fedavgm,",
        ),
        (WHOLE + "training: {strategy: fedadm}\n", "; write 'fedadam'"),
        (
            WHOLE + "training: {strategy: {name: fedadam, beta1: 0.9}}\n",
            "x.yaml:6:38: training.strategy.beta1: got an unknown key, expected one of name, eta, eta_l, beta_1,",
        ),
        (WHOLE + "training: {strategy: {eta: 1}}\n", "training.strategy: got a section of keys without the key 'name'"),
        (WHOLE + "wire: {up: topk:0.1+int9}\n", "x.yaml:6:12: wire.up: got 'int9', expected a codec stage out of"),
        (WHOLE + "wire: {up: [int8, topk:0.1]}\n", "x.yaml:6:12: wire.up: got the order int8, topk:0.1"),
        (WHOLE + "wire: {down: topk:0.1}\n", "x.yaml:6:14: wire.down: got 'topk:0.1'"),
        (WHOLE + "clients: [{for: {teir: mcu}, plan: full}]\n", "x.yaml:6:18: clients.0.for.teir: got an unknown key"),
        (WHOLE + "clients: [{for: mcu, plan: full}]\n", "x.yaml:6:17: clients.0.for: got 'mcu', expected a tier"),
        (WHOLE + "clients: [{for: any, plan: half}]\n", "clients.0.plan: got the plan 'half', expected 'full', 'auto'"),
        (WHOLE + "clients: {for: any}\n", "x.yaml:6:10: clients: got a section of keys, expected a list"),
        (WHOLE + "training: {rounds: 1e3}\n", "training.rounds: got 1000.0, expected a whole number in plain digits"),
        (WHOLE + "training: {rounds: 1e3}\n", "without a point or an exponent; write '1000'"),
        (WHOLE.replace("20\n", "20\n  start: 8 pm\n"), "fleet.start: got '8 pm', expected a day and a time; write"),
        (
            WHOLE.replace("20\n", "20\n  availability: always2\n"),
            "got 'always2', expected one of always, diurnal, trace",
        ),
        (
            WHOLE.replace("20\n", "20\n  availability: {kind: diurnal, habits: {overnight: 1.0}}\n"),
            "got 'overnight', expected a habit out of",
        ),
        (
            WHOLE.replace("20\n", "20\n  availability: {kind: diurnal, habits: {unplug: 3.0}}\n"),
            "fleet.availability: got 3.0, expected a share",
        ),
        (WHOLE.replace("20\n", "20\n  rules: {min_battery: 30}\n"), "got 30, expected 0 % to 100 %; write '30 %'"),
        (WHOLE.replace("20\n", "20\n  rules: {charging: yes}\n"), "got 'yes', expected true or false; write 'true'"),
        (WHOLE.replace("small", "'a b'"), "name: got 'a b', expected letters, digits"),
        (
            WHOLE.replace("20\n", "20\n  protocol: {check_in: {full: [60 s]}}\n"),
            "fleet.protocol.check_in.full: got a list of 1, expected more of them; add the next one",
        ),
        (
            WHOLE.replace("20\n", "20\n  protocol: {check_in: {full: [60 s, 90 s, 2 min]}}\n"),
            "fleet.protocol.check_in.full: got a list, expected at most 2 of them; leave some out",
        ),
        (WHOLE.replace("name: small\n", ""), "x.yaml:1:1: name: got nothing, expected short name"),
        (
            WHOLE + "privacy: {mechanism: client-fixed-clipping, clipping_norm: 1.0, target_epsilon: 3}\n",
            "x.yaml:6:10: privacy: got target_epsilon without delta",
        ),
        (
            WHOLE + "privacy: {mechanism: server-fixed-clipping, clipping_norm: 1.0}\n",
            "got neither or both of noise_multiplier and target_epsilon",
        ),
        ("", "x.yaml:1:1: (file): got an empty file"),
        ("- a\n", "x.yaml:1:1: (file): got a list, expected a section of keys"),
    ],
)
def test_a_mistake_is_told_with_place_value_and_remedy(text, told):
    assert any(told in line for line in mistakes(text)), mistakes(text)


def test_all_mistakes_come_at_once_in_the_order_of_the_file():
    text = (
        WHOLE.replace("20\n", "none\n").replace("mlp", "mpl") + "seed: x\nseed: 2\ntraining: {clients_per_round: 0}\n"
    )
    lines = [int(line.split(":")[1]) for line in mistakes(text)]
    assert lines == [3, 5, 6, 7, 8]


def test_a_broken_law_is_told_beside_a_mistake_that_it_does_not_rest_on():
    told = mistakes(WHOLE.replace("digits", "digit") + "training: {clients_per_round: 50}\n")
    assert len(told) == 2
    assert told[1].startswith("x.yaml:6:31: training.clients_per_round: got 50, more than the fleet's 20 devices;")


def test_a_law_that_rests_on_a_mistaken_key_is_not_guessed():
    told = mistakes(WHOLE.replace("devices: 20", "devices: many") + "training: {clients_per_round: 50}\n")
    assert [line.split(": ")[1] for line in told] == ["fleet.devices"]


def test_a_law_is_told_beside_a_mistake_inside_a_list_of_rules():
    rules = "clients: [{for: any, plan: {bits: 3}}]\ntraining: {first: 99}\n"
    assert [line.split(": ")[1] for line in mistakes(WHOLE + rules)] == ["clients.0.plan.bits", "training.first"]


def test_a_missing_file_is_told_like_any_other_mistake(tmp_path):
    with pytest.raises(InvalidFileError, match=r"nowhere\.yaml: \(file\): got no file to read \(no such file"):
        load_scenario(tmp_path / "nowhere.yaml")


def test_a_fleet_alone_is_enough_for_somebody_elses_app(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    assert load_fleet(path).task is None
    with pytest.raises(InvalidFileError, match="task: got nothing, expected what is learned"):
        load_scenario(path)


def test_a_mix_of_ones_own_is_found_beside_the_scenario(tmp_path, monkeypatch):
    monkeypatch.undo()
    shares = 'name: mine\ntitle: "Mine"\nshares: {pixel-4: 50 %, pi-4b: 50 %}\n'
    (tmp_path / "mine.yaml").write_text(shares)
    (tmp_path / "x.yaml").write_text(WHOLE.replace("{phone: 80 %, watch: 20 %}", "mine.yaml"))
    assert load_scenario(tmp_path / "x.yaml").fleet.mix == {"pixel-4": 0.5, "pi-4b": 0.5}
    (tmp_path / "mine.yaml").write_text(shares.replace("50", "40"))
    with pytest.raises(InvalidFileError, match=r"fleet.mix: got the mix 'mine.yaml', whose mistake is .*mine.yaml:3"):
        load_scenario(tmp_path / "x.yaml")


def test_weights_of_one_are_written_as_weights():
    text = "name: x\nfleet: {devices: 4, mix: {phone: 1, watch: 1}}\ntask: {data: digits, model: mlp}\n"
    written = dump_scenario(parse_scenario(text))
    assert "100 %" not in written
    assert parse_scenario(written) == parse_scenario(text)
