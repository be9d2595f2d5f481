"""Secure aggregation in a federated run: what the server gets, what devices pay, and rounds that are lost."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from fedlite import runner
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.flower.grid import FleetGrid
from fedlite.flower.secagg_members import BODY, RECORD, Members
from fedlite.privacy.secagg import costs, fixed_point, messages
from fedlite.privacy.secagg.client import Client
from fedlite.privacy.secagg.terms import Terms
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: secret
seed: 3
fleet: {{devices: 8, mix: {mix}, rules: {{charging: false, unmetered: false, idle: false}}}}
task:
  data: digits
  partition: {{kind: dirichlet, alpha: 0.5}}
  clients: {owners}
  model: {{name: mlp, options: {{hidden: [4]}}}}
training:
  rounds: {rounds}
  clients_per_round: 8
  local: {{epochs: {epochs}, batch_size: 512, lr: 0.1}}
  failures: missing
  {more}
privacy: {{{privacy}}}
{tail}
"""
SECURE = "mechanism: none, secure_aggregation: {neighbours: 4, clip: 1.0}"
MIXED = "{pixel-8: 7, pi-zero-w: 1}"


def parsed(privacy=SECURE, mix="{pixel-8: 1}", rounds=1, epochs=1, owners=8, more="", tail=""):
    return parse_scenario(
        SCENARIO.format(privacy=privacy, mix=mix, rounds=rounds, epochs=epochs, owners=owners, more=more, tail=tail)
    )


def run(folder, **changed):
    return runner.run(parsed(**changed), out=folder, settings=runner.Settings("local"))


def model(finished):
    return RunDirectory(finished.path).read_model()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A run of one round, and every reply that the server was given on the way, trip by trip."""
    replies, send = [], FleetGrid.send_and_receive

    def heard(self, batch, **named):
        answers = send(self, batch, **named)
        replies.extend([[answer.content for answer in answers]] if answers else [])
        return answers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FleetGrid, "send_and_receive", heard)
        finished = run(tmp_path_factory.mktemp("secure") / "run")
    return finished, replies


def test_the_model_is_that_of_plain_averaging_within_the_steps_of_eight_clients(secure, tmp_path):
    plain = model(run(tmp_path / "plain", privacy="mechanism: none"))
    masked = model(secure[0])
    worst = max(float(np.abs(masked[name] - plain[name]).max()) for name in plain)
    examples = 1437 / 8
    # Each of eight is off by less than a step, and counts by its share of the greatest weight.
    assert 0 < worst < 8 * (1.0 / 32767) * 437 / (8 * examples) * 2
    assert max(float(np.abs(plain[name]).max()) for name in plain) > 0.1


def test_nothing_reaches_the_server_but_messages_of_the_protocol(secure):
    _, replies = secure
    assert [len(trip) for trip in replies] == [8, 8, 8, 8]
    for trip in replies:
        for content in trip:
            assert list(content) == [RECORD]
            assert list(content[RECORD]) == [BODY]


def test_what_the_server_is_given_of_each_client_is_uniform(secure):
    finished, replies = secure
    length = 1 + sum(values.size for values in model(finished).values())
    terms = Terms(1, 8, 4, 3, length, 16, 1.0)
    numbers = np.concatenate([messages.read_masked(content[RECORD][BODY], terms) for content in replies[2]])
    counts = np.histogram(numbers, bins=64, range=(0, 2**terms.modulus_bits))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_four_trips_are_charged_their_own_bytes_and_their_computing(secure, tmp_path):
    finished, _ = secure
    plain = run(tmp_path / "plain", privacy="mechanism: none")
    jobs = finished.clients.sort("start_s")
    length = 1 + sum(values.size for values in model(finished).values())
    terms = Terms(1, 8, 4, 3, length, 16, 1.0)
    trips = jobs.group_by("start_s", maintain_order=True).agg(pl.all().unique()).select("up_bytes", "kind")
    assert trips["kind"].to_list() == [["query"], ["query"], ["train"], ["query"]]
    assert trips["up_bytes"].to_list() == [[each] for each in messages.most_up_bytes(terms)]
    whole = plain.clients["down_bytes"][0] + messages.most_down_bytes(terms)[2]
    assert jobs.filter(pl.col("kind") == "train")["down_bytes"].unique().to_list() == [whole]
    taken = jobs.filter(pl.col("kind") == "train")["train_s"].sort() - plain.clients["train_s"].sort()
    assert taken.to_numpy() == pytest.approx(costs.cycles(terms)[2] / 3.0e9, rel=1e-6)
    assert jobs["energy_j"].sum() > plain.clients["energy_j"].sum()


def test_the_run_tells_how_it_went(secure):
    finished, _ = secure
    told = finished.summary["secure_aggregation"]
    assert (told["neighbours"], told["threshold"], told["modulus_bits"]) == (4, 3, 19)
    assert (told["summed"], told["lost"], told["clipped"]) == ([8], [], 0.0)
    page = (finished.path / "report.html").read_text(encoding="utf-8")
    assert "Secure aggregation: 1 rounds summed, 0 lost" in page
    assert "they protect nobody" in page


def test_who_is_late_with_its_masked_vector_is_left_out_of_the_sum(tmp_path):
    finished = run(tmp_path / "run", mix=MIXED, rounds=2, epochs=20, more="deadline: 1 s")
    told, trained = finished.summary["secure_aggregation"], finished.clients.filter(pl.col("kind") == "train")
    assert set(trained["outcome"]) == {"arrived", "late"}
    assert told["summed"] == finished.rounds["arrived"].to_list()[1:]
    assert max(told["summed"]) < 8
    assert told["lost"] == []


def test_a_round_below_the_threshold_is_abandoned_and_leaves_the_model(tmp_path):
    all_of_them = "mechanism: none, secure_aggregation: {threshold: 100 %, clip: 1.0}"
    finished = run(tmp_path / "run", privacy=all_of_them, mix=MIXED, epochs=20, more="deadline: 1 s")
    told = finished.summary["secure_aggregation"]
    assert told["summed"] == []
    assert [(each["round"], each["trip"]) for each in told["lost"]] == [(1, "masked")]
    assert "got 7 who sent a masked vector, expected at least 8" in told["lost"][0]["why"]
    trained = finished.clients.filter(pl.col("kind") == "train")
    assert set(trained["outcome"]) == {"abandoned", "late"}
    first = finished.rounds["accuracy"].to_list()
    assert first[0] == first[1]
    assert "round 1 in its trip &#x27;masked&#x27;" in (finished.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "mechanism",
    [
        "client-fixed-clipping, clipping_norm: 0.3, noise_multiplier: 0.001, delta: 0.01",
        "local-dp, clipping_norm: 0.3, epsilon: 100, delta: 0.01",
    ],
)
def test_noise_and_masks_go_together_and_no_update_is_lengthened(mechanism, tmp_path, monkeypatch):
    before, after, weights, masked, mask = [], [], set(), Members.masked, Client.mask

    def watching(self, device, message_id, letters, update, weight, cap):
        before.append(np.linalg.norm(np.concatenate([part.ravel() for part in update])) * weight / cap)
        weights.add(weight / cap)
        return masked(self, device, message_id, letters, update, weight, cap)

    def levels_of(self, letters, levels):
        after.append(np.linalg.norm(fixed_point.total(levels[1:], 1, 1.0, 10)))
        return mask(self, letters, levels)

    monkeypatch.setattr(Members, "masked", watching)
    monkeypatch.setattr(Client, "mask", levels_of)
    coarse = "mechanism: MECHANISM, secure_aggregation: {bits: 10, clip: 1.0}".replace("MECHANISM", mechanism)
    finished = run(tmp_path / "run", privacy=coarse)
    assert len(after) == 8
    assert all(sent <= learnt for sent, learnt in zip(after, before, strict=True))
    assert finished.summary["secure_aggregation"]["summed"] == [8]
    assert (weights == {1.0}) == ("client" in mechanism)


def test_the_private_mean_is_that_of_the_plain_sum_within_a_step(tmp_path):
    clipped = "mechanism: client-fixed-clipping, clipping_norm: 0.3, noise_multiplier: 0.1, delta: 0.01"
    plain = run(tmp_path / "plain", privacy=clipped)
    secured = run(tmp_path / "run", privacy=f"{clipped}, secure_aggregation: {{clip: 1.0}}")
    one, other = model(plain), model(secured)
    # Toward zero: each of eight loses less than a step, and an eighth of their sum counts.
    assert 0 < max(float(np.abs(one[name] - other[name]).max()) for name in one) < 1 / 32767
    assert secured.summary["privacy"]["cohort_realised"] == plain.summary["privacy"]["cohort_realised"]
    assert secured.summary["privacy"]["epsilon"] == plain.summary["privacy"]["epsilon"]


def test_owners_with_several_devices_are_refused_under_central_noise(tmp_path):
    noisy = "mechanism: client-fixed-clipping, clipping_norm: 0.3, noise_multiplier: 1, secure_aggregation: {clip: 1.0}"
    with pytest.raises(FedliteError, match="got 8 with the data of 4 owners"):
        runner.run(parsed(privacy=noisy, owners=4), out=tmp_path / "run", settings=runner.Settings("local"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tail": "wire: {up: int8}"}, "wire.up: got the codec 'int8' with secure aggregation, expected one that is"),
        ({"tail": "wire: {up: fp32+zstd}"}, "masked ones cannot be compressed; write 'up: fp32'"),
        (
            {"tail": "clients: [{for: any, plan: {up: topk:0.1}}]"},
            "clients.0.plan.up: got the codec 'topk:0.1' with secure",
        ),
        ({"tail": "clients: [{for: any, plan: {width: 0.5}}]"}, "got 'width 0.5' with secure aggregation"),
        ({"tail": "clients: [{for: any, plan: {sparsity: 0.5}}]"}, "which coordinates a device holds"),
        ({"tail": "clients: [{for: any, plan: {stages: [{name: power-sgd, rank: 1}]}}]"}, "got 'power-sgd' with"),
        ({"more": "strategy: fedmedian"}, "got it with strategy 'fedmedian', which needs every single reply"),
        ({"more": "replies: reduced"}, "training.replies: got 'reduced' with secure aggregation"),
        (
            {"privacy": "mechanism: none, secure_aggregation: {neighbours: 3, clip: 1.0}"},
            "neighbours: got 3 of 7 other clients, expected an even number, or all of them; write 4",
        ),
        (
            {"privacy": "mechanism: none, secure_aggregation: {bits: 30, clip: 1.0}"},
            "bits: got 30 for the sum of 8 clients",
        ),
        (
            {
                "privacy": "mechanism: server-fixed-clipping, clipping_norm: 1.0, noise_multiplier: 1.0,"
                " secure_aggregation: {clip: 1.0}"
            },
            "got it with 'server-fixed-clipping', whose server has to see each update",
        ),
    ],
)
def test_what_needs_more_than_the_sum_is_refused(changed, said):
    with pytest.raises(InvalidFileError) as refused:
        parsed(**changed)
    assert said in str(refused.value)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(FedliteError, match=r"bits: got 4 where a client has \d+ examples"):
        run(tmp_path / "run", privacy="mechanism: none, secure_aggregation: {bits: 4, clip: 1.0}")


def test_too_few_neighbours_for_the_expected_drop_out_are_told_with_the_chance():
    weak = "mechanism: none, secure_aggregation: {neighbours: 4, threshold: 80 %, clip: 1.0, drop_out: 20 %}"
    [remark] = parsed(privacy=weak).remarks
    assert "if 20% of 8 clients drop out, a round is lost with a chance of up to 0.72: 4 of the 5 who hold" in remark
    strong = "mechanism: none, secure_aggregation: {threshold: 40 %, clip: 1.0, drop_out: 5 %}"
    assert parsed(privacy=strong).remarks == []
    assert parsed(privacy="mechanism: none").remarks == []
