"""Stages that a stranger wrote in one file outside the package, named `pkg.mod:Name` or `pkg.mod:Name:argument`."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from fedlite import own_code, runner
from fedlite.errors import FedliteError
from fedlite.scenario.dump import dump_scenario
from fedlite.scenario.loader import parse_scenario
from fedlite.wire import (
    CodecError,
    WireError,
    check_downlink,
    decode,
    encode,
    inspect,
    parse_codec,
    sends_update,
    varint,
)

FILE = '''
"""A sparsifier with an argument, a number format and a lossless stage."""

import zlib

import numpy as np

from fedlite.wire import WireError


class Every:
    """Sends every n-th value."""

    carries_update = True

    def __init__(self, step):
        self.step = int(step)

    def most(self, count):
        return -(-count // self.step)

    def select(self, values):
        return np.arange(0, values.size, self.step)


class Whole:
    """float32 in the other byte order."""

    carries_update, carries_model, lengthens, stochastic, stride = False, True, False, False, 4

    def encoded_bytes(self, segments):
        return 4 * segments.total

    def encode(self, values, segments, rng):
        return values.astype(">f4").tobytes()

    def decode(self, payload, segments):
        return np.frombuffer(payload, ">f4").astype(np.float32)


class Packing:
    """What lossless stages live in."""

    class Deflate:
        def compress(self, payload):
            return zlib.compress(payload)

        def decompress(self, payload, limit):
            engine = zlib.decompressobj()
            try:
                out = engine.decompress(payload, limit + 1)
            except zlib.error as error:
                raise WireError(f"deflate: {error}") from error
            return out


class Nothing:
    pass
'''
SCENARIO = """
name: own
fleet: {devices: 6, mix: {pixel-4: 50 %, pi-4b: 50 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digits, clients: 6, model: {name: mlp, options: {hidden: [8]}}}
training: {rounds: 2, clients_per_round: 4, local: {epochs: 1, batch_size: 16, lr: 0.1}}
wire: {up: "MODULE:Every:3+MODULE:Whole+MODULE:Packing.Deflate", down: "MODULE:Whole", error_feedback: true}
clients:
  - for: {profile: pi-4b}
    plan: {up: ["MODULE:Every:2", fp16], down: "MODULE:Whole+zstd"}
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """A fresh module of a name of its own, so that no test finds what another one imported."""
    name = f"stranger_{zlib.crc32(request.node.name.encode()):08x}"
    (tmp_path / f"{name}.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return name


def arrays():
    return [np.arange(1, 8, dtype=np.float32).reshape(7, 1), np.array(4), np.array(2.5, np.float32)]


def naming(codec):
    """A packet of no arrays with a checksum that holds, naming any codec with a sparsifier."""
    header = varint.put(len(codec)) + codec.encode() + varint.put(0)
    start, rest = b"\xf5L\x01\0", varint.put(len(header)) + header + b"\0"
    return start + zlib.crc32(rest, zlib.crc32(start)).to_bytes(4, "little") + rest


def test_each_kind_of_stage_works_alone_and_with_the_others(module):
    for stages in (
        (f"{module}:Every:2",),
        (f"{module}:Whole",),
        (f"{module}:Packing.Deflate",),
        (f"{module}:Every:2", "int8", "zstd"),
        ("topk:0.5", f"{module}:Whole", f"{module}:Packing.Deflate"),
    ):
        codec = parse_codec(stages)
        assert set(stages) <= set(codec.stages)
        assert parse_codec(codec.stages) == codec
        buffer = encode(arrays(), stages, np.random.Generator(np.random.PCG64(1)))
        assert inspect(buffer).codec == codec.stages
        received = decode(buffer)
        assert [a.shape for a in received] == [(7, 1), (), ()]
        assert received[1] == 4


def test_the_argument_reaches_the_stage(module):
    received = decode(encode(arrays(), (f"{module}:Every:3",)))
    assert received[0].reshape(-1).tolist() == [1, 0, 0, 4, 0, 0, 7]


def test_what_a_stage_declares_is_obeyed(module):
    assert sends_update((f"{module}:Every:2",))
    assert not sends_update((f"{module}:Whole",))
    assert check_downlink((f"{module}:Whole",))
    with pytest.raises(CodecError, match=rf"downlink: got '{module}:Every:2'"):
        check_downlink((f"{module}:Every:2",))
    assert not parse_codec((f"{module}:Every:2", f"{module}:Whole")).lengthens


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            "no_such_module_here:Name",
            "'no_such_module_here:Name', which cannot be imported .*; mend it, .* put its folder on PYTHONPATH",
        ),
        ("MODULE:Missing", "which cannot be imported .*there is no 'Missing' in MODULE, only"),
        ("MODULE:Every", "refuses no argument .*step.*; write 'pkg.mod:Name:argument'"),
        ("MODULE:Every:many", "refuses the argument 'many' .*invalid literal.*; write one that it takes, or none"),
        ("MODULE:Whole:1", "refuses the argument '1'"),
        (
            "MODULE:Nothing",
            "made a Nothing, expected a sparsifier with carries_update, most, select too, or a number format",
        ),
        ("MODULE:9", "got the stage 'MODULE:9', expected one of .*pkg.mod:Name"),
        ("topk:Name", "topk: got 'Name', expected a fraction"),
    ],
)
def test_a_mistaken_reference_says_what_to_do(module, stage, message):
    with pytest.raises(CodecError, match=message.replace("MODULE", module)):
        parse_codec((stage.replace("MODULE", module),))


def test_a_mistake_in_a_scenario_has_its_place(module):
    text = SCENARIO.replace("MODULE:Whole+MODULE", "MODULE:Missing+MODULE").replace("MODULE", module)
    with pytest.raises(FedliteError, match=rf":6:12: wire.up: got the stage '{module}:Missing', which cannot"):
        parse_scenario(text)


def test_a_codec_that_no_packet_could_name_is_refused(module):
    with pytest.raises(CodecError, match="expected at most 256"):
        parse_codec((f"{module}:Every:{'0' * 300}2",))


def test_a_scenario_with_a_stranger_s_stages_in_wire_and_plans_runs_and_reads_back(module, tmp_path):
    scenario = parse_scenario(SCENARIO.replace("MODULE", module))
    assert parse_scenario(dump_scenario(scenario)) == scenario
    run = runner.run(scenario, out=tmp_path / "run", settings=runner.Settings("local"))
    assert run.summary["digest"]


@pytest.mark.ray
def test_actors_import_a_stranger_s_stages_by_their_names(module, tmp_path):
    scenario = parse_scenario(SCENARIO.replace("MODULE", module))
    digests = [
        runner.run(scenario, out=tmp_path / backend, settings=runner.Settings(backend, actors)).summary["digest"]
        for backend, actors in (("local", None), ("ray", 1))
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("reference", ["os:system", "os:system:true", "antigravity:geohash", "MODULE:Whole"])
def test_a_packet_that_names_code_nobody_asked_for_is_refused_and_imports_nothing(module, reference, monkeypatch):
    def refuse(name, *_):
        raise AssertionError(name)

    monkeypatch.setattr(own_code.importlib, "import_module", refuse)
    for codec in (reference, f"topk:0.1+{reference}", f"fp32+{reference}"):
        with pytest.raises(WireError, match="in a packet, expected one that this process uses itself"):
            decode(naming(codec.replace("MODULE", module)))
    assert module not in sys.modules


def test_a_packet_cannot_choose_the_argument_of_a_stranger_s_stage(module):
    parse_codec((f"{module}:Every:2",))
    assert decode(naming(f"{module}:Every:2")) == []
    with pytest.raises(WireError, match="in a packet"):
        decode(naming(f"{module}:Every:5"))


def test_another_process_decodes_what_it_asked_for_and_refuses_the_rest(module, tmp_path):
    (tmp_path / "packet").write_bytes(encode(arrays(), (f"{module}:Every:2",)))
    script = (
        "import sys; from pathlib import Path; from fedlite.wire import WireError, decode, parse_codec\n"
        f"packet = Path({str(tmp_path / 'packet')!r}).read_bytes()\n"
        "try:\n    decode(packet)\nexcept WireError:\n    print('refused')\n"
        f"assert {module!r} not in sys.modules\n"
        f"parse_codec(['{module}:Every:2'])\nprint(decode(packet)[0].reshape(-1).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["refused", "[1.0, 0.0, 3.0, 0.0, 5.0, 0.0, 7.0]"]
