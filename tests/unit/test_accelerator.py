"""An accelerator is asked for by name, refused where there is none, shared by actors, and part of what a run is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from fedlite import sweep
from fedlite.cli import main as command_line
from fedlite.compose import pools
from fedlite.compose.program import Program
from fedlite.engine.ray_pool import RayPool, actor_options
from fedlite.engine.task import WorkerSpec
from fedlite.errors import FedliteError
from fedlite.learning.training import accelerator
from fedlite.learning.training.accelerator import HOST, Accelerator, find
from fedlite.learning.training.place import Place
from fedlite.runner import Settings, resume, run
from fedlite.scenario.loader import parse_scenario

H200 = Accelerator("cuda", "NVIDIA H200, CUDA 13.0")
TINY = """
name: tiny
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 2, clients_per_round: 3}
"""
LOCAL = Settings("local")


def sees(monkeypatch, **models):
    monkeypatch.setattr(accelerator, "visible", lambda: models)


def test_without_asking_it_is_the_processor():
    assert find("none") == HOST
    assert HOST.device() == torch.device("cpu")
    assert Place.of(None).is_host
    assert Settings().accelerator == "none"


def test_auto_takes_what_there_is(monkeypatch):
    sees(monkeypatch)
    assert find("auto") == HOST
    sees(monkeypatch, cuda="a", mps="b")
    assert find("auto") == Accelerator("cuda", "a")
    sees(monkeypatch, mps="b")
    assert find("auto") == find("mps") == Accelerator("mps", "b")
    assert find("mps").device() == torch.device("mps", 0)


def test_what_is_absent_or_unknown_is_refused(monkeypatch):
    sees(monkeypatch, mps="b")
    with pytest.raises(FedliteError, match=r"got 'cuda', expected a machine on which torch sees one.*; leave it out"):
        find("cuda")
    with pytest.raises(FedliteError, match="accelerator: got 'gpu', expected one of"):
        find("gpu")


def test_a_worker_refuses_another_model_than_the_drivers(monkeypatch):
    sees(monkeypatch, cuda=H200.model)
    assert H200.device() == torch.device("cuda", 0)
    sees(monkeypatch, cuda="NVIDIA T4, CUDA 13.0")
    with pytest.raises(
        FedliteError, match=r"got NVIDIA T4, CUDA 13.0 in a worker, expected NVIDIA H200.*; let CUDA_VIS"
    ):
        Place.of(asdict(H200))
    sees(monkeypatch)
    with pytest.raises(FedliteError, match="got 'cuda'"):
        Place.of(asdict(H200))


@pytest.mark.parametrize("command", ["run", "sweep", "app"])
def test_the_command_line_refuses_in_one_line_and_writes_nothing(command, tmp_path, monkeypatch, capsys):
    sees(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "study.yaml").write_text("name: s\nbase: tiny.yaml\ngrid: {training.rounds: [1, 2]}\nseeds: [1]\n")
    said = {
        "run": ["run", "tiny.yaml"],
        "sweep": ["sweep", "study.yaml"],
        "app": ["app", "there-is-none", "--fleet", "tiny.yaml"],
    }[command]
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["fedlite", *said, "--accelerator", "cuda", "--json"])
    with pytest.raises(SystemExit) as left:
        command_line.main()
    told = capsys.readouterr()
    assert left.value.code == 2
    assert [line for line in told.err.splitlines() if line] == [str(accelerator._absent("cuda"))]
    assert sorted(tmp_path.iterdir()) == before


def cut(path, settings):
    def stop(now):
        if now.round_ == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(parse_scenario(TINY), out=path, settings=settings, progress=stop)


def test_a_run_is_not_continued_on_another_kind(tmp_path, monkeypatch):
    cut(tmp_path / "run", LOCAL)
    sees(monkeypatch, cuda=H200.model)
    with pytest.raises(
        FedliteError, match=r"run: got accelerator cuda \(NVIDIA H200, CUDA 13.0\) \(was none\); expected"
    ):
        resume(tmp_path / "run", settings=replace(LOCAL, accelerator="cuda"))
    assert resume(tmp_path / "run", settings=LOCAL).summary["failure"] is None


def test_a_study_is_not_continued_on_another_kind(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY)
    study = tmp_path / "study.yaml"
    study.write_text("name: s\nbase: tiny.yaml\ngrid: {training.rounds: [1]}\nseeds: [1]\n")
    sweep(study, out=tmp_path / "out", settings=LOCAL)
    sees(monkeypatch, mps="M9")
    with pytest.raises(FedliteError, match=r"got accelerator mps \(M9\) \(was none\)"):
        sweep(study, out=tmp_path / "out", settings=replace(LOCAL, accelerator="mps"))


def test_only_the_kind_differs_in_the_program():
    program = Program({"torch": "2"}, {"fedlite": "f"}, {"the scenario": "s"})
    here, there = program.on(HOST), program.on(H200)
    assert there.differences(here) == ["accelerator cuda (NVIDIA H200, CUDA 13.0) (was none)"]
    assert here.digest != there.digest


def test_where_a_worker_computes_is_no_part_of_what_it_computes():
    spec = WorkerSpec("builtins:dict", {"a": 1}, {"x": np.ones(2)})
    moved = replace(spec, where={"accelerator": asdict(H200)})
    assert moved.digest == spec.digest
    assert moved.build({})["accelerator"]["kind"] == "cuda"
    assert "accelerator" not in spec.build({})


@pytest.mark.parametrize(
    ("actors", "gpus", "share"),
    [(1, 1, 1.0), (4, 1, 0.25), (3, 1, 0.3333), (8, 3, 0.3333), (2, 4, 1.0), (7, 1, 0.1428)],
)
def test_actors_share_gpus_and_all_of_them_fit(actors, gpus, share):
    options = actor_options(actors, gpus)
    assert options["num_gpus"] == share
    assert options["num_cpus"] == 1
    assert gpus * int(1 / share) >= actors


def test_actors_without_an_accelerator_ask_for_no_gpu_and_none_is_refused():
    assert actor_options(4, None) == {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
    with pytest.raises(FedliteError, match=r"got a Ray cluster that has no GPU.*; start its nodes"):
        actor_options(4, 0)


@pytest.mark.ray
def test_a_cluster_without_a_gpu_is_refused_and_ended():
    import ray

    with pytest.raises(FedliteError, match="no GPU"):
        RayPool(WorkerSpec("builtins:dict"), 1, on_gpus=True)
    assert not ray.is_initialized()


def test_few_actors_go_to_a_gpu_unless_more_are_asked_for(monkeypatch):
    monkeypatch.setattr(pools, "usable_processors", lambda: 16)
    monkeypatch.setattr(accelerator, "count", lambda: 1)
    sees(monkeypatch, cuda=H200.model, mps="b")
    assert [pools._actors(Settings(accelerator=kind)) for kind in ("none", "mps", "cuda")] == [8, 8, 4]
    assert pools._actors(Settings(accelerator="cuda", actors=6)) == 6


def test_every_choice_of_torch_is_repeatable_while_it_computes_and_put_back():
    place = Place(torch.device("meta"))

    def choices():
        flags = torch.backends.cudnn
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            flags.deterministic,
            flags.benchmark,
            flags.allow_tf32,
            torch.get_float32_matmul_precision(),
        )

    torch.set_float32_matmul_precision("high")
    try:
        before = choices()
        with place.computing():
            assert choices() == (True, False, True, False, False, "highest")
        with place.computing(strict=False):
            assert choices() == (True, True, True, False, False, "highest")
        assert choices() == before
        with Place().computing():
            assert choices() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_what_a_device_cannot_do_is_told_in_one_line():
    place = Place(torch.device("meta"))
    with (
        pytest.raises(FedliteError, match=r"got no memory left on meta \(tried 3 GiB\).*fewer --actors"),
        place.computing(),
    ):
        raise torch.OutOfMemoryError("tried\n3 GiB")
    with pytest.raises(FedliteError, match="does not repeat to the bit"), place.computing():
        raise RuntimeError("median does not have a deterministic implementation, but you set ...")
    with pytest.raises(RuntimeError, match="another"), place.computing():
        raise RuntimeError("another")


def test_the_doctor_tells_what_torch_sees(monkeypatch, capsys):
    from fedlite.cli.doctor import _accelerators

    sees(monkeypatch)
    assert (_accelerators().state, _accelerators().found) == ("ok", "torch sees none")
    sees(monkeypatch, cuda=H200.model)
    assert _accelerators().found == "cuda: NVIDIA H200, CUDA 13.0"


def test_the_manifest_says_for_what_the_bits_are_promised(tmp_path):
    done = run(parse_scenario(TINY), out=tmp_path / "run", settings=LOCAL)
    told = json.loads((done.path / "manifest.json").read_text())
    assert told["accelerator"] == {"kind": "none", "model": "", "promise": HOST.promise}
    assert "bits are others" in H200.promise
    assert H200.label in H200.promise
