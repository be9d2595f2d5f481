"""What a whole run must say of plans: no order matters, what was sent is charged, who holds a weight is averaged."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fedlite import runner
from fedlite.client.memory import DeviceMemories
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import parse_scenario

BASE = """
name: plans
seed: 2
fleet: {{devices: 12, mix: {mix}{fleet}}}
task: {{data: digits, partition: {partition}, model: {{name: mlp, options: {{hidden: [16]}}}}}}
training: {{rounds: {rounds}, clients_per_round: {cohort}, local: {{batch_size: 16, lr: 0.1{local}}}{more}}}
{tail}
"""
EQUAL = "{pixel-8: 50 %, wileyfox-swift: 50 %}"


def run(folder, *, mix=EQUAL, fleet="", partition="iid", rounds=2, cohort=6, local="", more="", tail=""):
    text = BASE.format(
        mix=mix, fleet=fleet, partition=partition, rounds=rounds, cohort=cohort, local=local, more=more, tail=tail
    )
    return runner.run(parse_scenario(text), out=folder, settings=runner.Settings("local"))


def weights(finished):
    return RunDirectory(finished.path).read_model()


NARROW = "clients:\n  - for: {tier: phone-low}\n    plan: {width: 0.5}\n"


def test_the_order_of_a_mix_changes_no_bit(tmp_path):
    tail = NARROW + "wire: {up: int8+zstd, down: int8}"
    first = run(tmp_path / "a", tail=tail)
    second = run(tmp_path / "b", mix="{wileyfox-swift: 50 %, pixel-8: 50 %}", tail=tail)
    assert first.summary["digest"] == second.summary["digest"]
    assert set(first.clients["plan"]) == {"full", "width 0.5"}


LATE = {"partition": "{kind: quantity, sigma: 1.0}", "rounds": 4, "more": ", deadline: 0.36 s"}


@pytest.mark.parametrize("up", ["int8+zstd", "topk:0.1"])
def test_late_jobs_that_began_to_send_are_charged_what_they_really_encoded(tmp_path, up):
    plain = run(tmp_path / "fixed", tail="wire: {up: int8}", **LATE).clients
    coded = run(tmp_path / "coded", tail=f"wire: {{up: {up}}}", **LATE).clients
    for rows in (plain, coded):
        late = rows.filter(pl.col("outcome") == "late")
        # Some were late before their upload could begin, some because of it.
        assert 0 < late.filter(pl.col("down_s") + pl.col("train_s") > 0.36).height < late.height
        assert (late["up_bytes"] > 0).all()
        assert (late["up_s"] > 0).all()
    lengths = coded.filter(pl.col("outcome") == "late")["up_bytes"].to_list()
    assert up == "topk:0.1" or len(set(lengths)) > 1  # entropy coded, not a formula


def test_what_a_lost_upload_carried_is_owed_again(tmp_path, monkeypatch):
    owed, kept = [], []
    lose, keep = ErrorFeedback.lost, DeviceMemories.keep

    def losing(stage, decoded, memory):
        after = lose(stage, decoded, memory)
        owed.append((memory["residual"], np.concatenate([np.ravel(part) for part in decoded]), after["residual"]))
        return after

    def keeping(memories, device, plan, memory):
        kept.append(memory["error-feedback"]["residual"])
        keep(memories, device, plan, memory)

    monkeypatch.setattr(ErrorFeedback, "lost", losing)
    monkeypatch.setattr(DeviceMemories, "keep", keeping)
    rows = run(tmp_path / "run", tail="wire: {up: 'topk:0.1', error_feedback: true}", **LATE).clients
    sent = rows.filter(pl.col("up_bytes") > 0)
    assert len(owed) == sent.filter(pl.col("outcome") != "arrived").height > 0
    assert len(kept) == sent.height
    for before, carried, after in owed:
        np.testing.assert_array_equal(after, before + carried)
        assert any(memory is after for memory in kept)


def test_jobs_that_never_began_to_send_are_charged_no_upload(tmp_path):
    rows = run(tmp_path / "a", fleet=", budgets: {cpu_time: 5 ms}", tail="wire: {up: int8+zstd}").clients
    stopped = rows.filter(pl.col("outcome") == "cpu_budget")
    assert stopped.height
    assert (stopped["up_bytes"] == 0).all()
    assert stopped["loss"].is_nan().all()


MIXED = "clients:\n  - for: {profile: wileyfox-swift}\n    plan: {%s}\n"
OWN = """
from flwr.serverapp.strategy import FedAvg


def own(**arguments):
    return FedAvg(fraction_train=1e-9, fraction_evaluate=0.0, min_train_nodes=6, min_available_nodes=6)
"""


@pytest.mark.parametrize(
    "plan", ["width: 0.5", "sparsity: 0.6", "width: 0.5, sparsity: 0.5", "stages: [{name: clip, norm: 0.5}]"]
)
def test_where_replies_are_summed_changes_no_result(tmp_path, monkeypatch, plan):
    (tmp_path / "own_average.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    tail = MIXED % plan
    summed = weights(run(tmp_path / "auto", tail=tail))
    separate = weights(run(tmp_path / "separate", more=", replies: separate", tail=tail))
    own = weights(run(tmp_path / "own", more=", strategy: 'own_average:own'", tail=tail))
    for name, wanted in summed.items():
        np.testing.assert_allclose(separate[name], wanted, atol=2e-6)
        np.testing.assert_allclose(own[name], wanted, atol=2e-6)


def test_a_mask_of_its_own_survives_a_lost_upload(tmp_path, monkeypatch):
    """What a device held when its upload was lost is what it begins its next job with."""
    kept: dict[int, list[dict]] = {}
    begun: dict[int, list[dict]] = {}
    keep, of = DeviceMemories.keep, DeviceMemories.of

    def keeping(memories, device, plan, memory):
        kept.setdefault(device, []).append(memory["regrow"])
        keep(memories, device, plan, memory)

    def asking(memories, device, plan):
        found = of(memories, device, plan)
        begun.setdefault(device, []).append(found.get("regrow", {}))
        return found

    monkeypatch.setattr(DeviceMemories, "keep", keeping)
    monkeypatch.setattr(DeviceMemories, "of", asking)
    tail = "clients:\n  - for: any\n    plan: {constraints: [{name: regrow, sparsity: 0.7, every: 1, mask: own}]}\n"
    rows = run(tmp_path / "run", tail=tail, **LATE).clients
    late = rows.filter((pl.col("outcome") == "late") & (pl.col("up_bytes") > 0))
    again = [device for device in late["device"].to_list() if len(begun[device]) > 1]
    assert again
    for device, masks in kept.items():
        assert begun[device][0] == {}
        for before, after in zip(masks, begun[device][1:], strict=False):
            assert before is after


ALL_MASKED = "clients:\n  - for: any\n    plan: {sparsity: 0.6}\n"


@pytest.mark.parametrize("wire", ["{up: fp32}", "{up: int8}", "{up: topk:0.3+int8, error_feedback: true}"])
def test_a_fleet_that_holds_weights_at_zero_delivers_a_sparse_model(tmp_path, wire):
    final = weights(run(tmp_path / "run", tail=ALL_MASKED + f"wire: {wire}"))
    matrices = np.concatenate([values.ravel() for values in final.values() if values.ndim > 1])
    assert np.mean(matrices == 0) == pytest.approx(0.6, abs=0.01)


def test_masked_clients_leave_a_weight_to_those_that_hold_it(tmp_path):
    """A dense client's mean is not diluted by zeros: with masks on half of the fleet no weight is pulled to zero."""
    mixed = weights(run(tmp_path / "mixed", rounds=1, cohort=12, tail=MIXED % "sparsity: 0.9"))
    dense = weights(run(tmp_path / "dense", rounds=1, cohort=12))
    name = next(key for key, values in dense.items() if values.ndim > 1)
    ratio = np.linalg.norm(mixed[name]) / np.linalg.norm(dense[name])
    assert 0.97 < ratio < 1.1  # zeros counted as values would halve the weights that half of the fleet masks


def test_a_mask_is_not_what_gets_clipped(tmp_path):
    """The update of a masked client is what it learned: its mask, whose norm is many times that, is no part of it."""
    privacy = "privacy: {mechanism: client-fixed-clipping, noise_multiplier: 0, clipping_norm: 0.5}\n"
    more = ", failures: missing"
    masked = weights(run(tmp_path / "masked", rounds=1, cohort=12, more=more, tail=ALL_MASKED + privacy))
    dense = weights(run(tmp_path / "dense", rounds=1, cohort=12, more=more, tail=privacy))
    start = weights(run(tmp_path / "start", rounds=1, cohort=12, local=", max_steps: 1, weight_decay: 0", more=more))
    moved = [np.sqrt(sum(np.sum((end[k] - start[k]) ** 2) for k in start)) for end in (masked, dense)]
    assert moved[0] > 0.5 * moved[1]  # clipped together with its mask, next to nothing of the learning was left


def test_the_reports_training_time_is_that_of_the_ledger(tmp_path):
    finished = run(
        tmp_path / "run",
        fleet=", budgets: {cpu_share: 25 %}",
        partition="{kind: quantity, sigma: 1.0}",
        cohort=12,
        rounds=1,
        local=", epochs: 40, max_steps: 3",
    )
    said = dict(finished.fleet.select("profile", "train_s_per_round").iter_rows())
    for (profile,), rows in finished.clients.filter(pl.col("outcome") == "arrived").group_by("profile"):
        assert said[profile] == pytest.approx(rows["train_s"].mean(), rel=1e-6)


def test_the_reports_memory_is_what_the_scenario_leaves_a_job(tmp_path):
    finished = run(tmp_path / "run", rounds=1, fleet=", budgets: {memory: 100 MB}")
    assert set(finished.fleet["job_ram_bytes"]) == {100_000_000}
