"""The strategy of scenarios/papers/li-2020-fedprox.yaml: who is asked for how many epochs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from flwr.app import ArrayRecord, ConfigRecord

from fedlite import Settings, run
from fedlite.flower import compat

FOLDER = Path(__file__).parents[2] / "scenarios" / "papers"
sys.path.insert(0, str(FOLDER))

from li_2020_stragglers import WithStragglers  # noqa: E402 - a module beside a scenario


class Nodes:
    def get_node_ids(self):
        return list(range(1, 41))


def asked(strategy, round_=1):
    compat.become_server(1)
    arrays, config = ArrayRecord([np.zeros(3, np.float32)]), ConfigRecord({"lr": 0.5})
    messages = list(strategy.configure_train(round_, arrays, config, Nodes()))
    return [next(iter(message.content.config_records.values())) for message in messages], messages


def test_partial_work_is_asked_of_the_stragglers_alone():
    configs, messages = asked(WithStragglers(0.9, partial=True, epochs=20, mu=1.0))
    epochs = [config.get("local-epochs") for config in configs]
    assert len({message.metadata.dst_node_id for message in messages}) == 10
    assert epochs[9:] == [None]
    assert all(1 <= each < 20 for each in epochs[:9])
    assert len(set(epochs[:9])) > 3
    assert {(config["lr"], config["proximal-mu"]) for config in configs} == {(0.5, 1.0)}
    assert len({id(next(iter(message.content.array_records.values()))) for message in messages}) == 1


def test_dropping_them_asks_the_others_alone():
    configs, _ = asked(WithStragglers(0.9, partial=False, epochs=20))
    assert [config.get("local-epochs") for config in configs] == [None]
    assert len(asked(WithStragglers(0.5, partial=False, epochs=20))[0]) == 5
    assert len(asked(WithStragglers(0.0, partial=True, epochs=20))[0]) == 10


def test_how_much_is_done_is_the_same_in_every_run_and_another_in_every_round():
    first, again, later = (asked(WithStragglers(0.9, partial=True, epochs=20), round_)[0] for round_ in (1, 1, 2))
    assert [config.get("local-epochs") for config in first] == [config.get("local-epochs") for config in again]
    assert [config.get("local-epochs") for config in first] != [config.get("local-epochs") for config in later]


@pytest.mark.parametrize(("partial", "jobs"), [(True, 4), (False, 2)])
def test_the_ledger_tells_the_steps_that_were_made(tmp_path, partial, jobs):
    options = f"{{share: 0.5, partial: {str(partial).lower()}, epochs: 6, cohort: 4}}"
    scenario = tmp_path / "few.yaml"
    scenario.write_text(
        "name: few\nfleet: {devices: 8, mix: {pixel-8: 100 %}}\n"
        "task: {data: digits, clients: 80, model: mlp}\n"
        "training:\n  rounds: 1\n  evaluate_every: 0\n  local: {epochs: 6, batch_size: 100}\n"
        f'  strategy: {{name: "li_2020_stragglers:WithStragglers", options: {options}}}\n'
        "report: {per_client_evaluation: false}\n"
    )
    done = run(scenario, out=tmp_path / "run", settings=Settings(backend="local"))
    steps = pl.read_parquet(done.path / "clients.parquet").filter(pl.col("kind") == "train")["steps"].to_list()
    assert len(steps) == jobs
    assert sorted(steps)[-2:] == [6, 6]
    assert all(1 <= made < 6 for made in sorted(steps)[:-2])
