"""What of older servers is about time: waiting, timeouts, silence. Their results are held by tests/compat."""

import textwrap

import pytest

from fedlite.errors import FedliteError
from fedlite.flower.app_prices import Declared
from fedlite.runner import Settings, run_app

PROJECT = """
[project]
name = "older"
version = "1"
[tool.flwr.app]
publisher = "me"
[tool.flwr.app.components]
serverapp = "server_app:app"
clientapp = "client_app:app"
"""
CLIENT = """
import numpy as np
from flwr.client import ClientApp, NumPyClient

class Client(NumPyClient):
    def get_properties(self, config):
        return {"name": "client"}

    def fit(self, parameters, config):
        return [parameters[0] + 1], 10, {}

    def evaluate(self, parameters, config):
        return 0.5, 10, {"accuracy": 0.25}

app = ClientApp(client_fn=lambda context: Client().to_client())
"""
SERVER = """
import threading
import numpy as np
from flwr.common import GetPropertiesIns, ndarrays_to_parameters
from flwr.server import LegacyContext, Server, ServerApp, ServerAppComponents, ServerConfig, SimpleClientManager
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow

class Strategy(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        parameters, _ = super().aggregate_fit(server_round, results, failures)
        return parameters, {"answers": len(results), "failures": len(failures)}

def strategy(**settings):
    start = ndarrays_to_parameters([np.zeros(2)])
    return Strategy(initial_parameters=start, fraction_evaluate=0.0, **settings)

"""


@pytest.fixture
def older(tmp_path, app_fleet):
    """Return a function that runs an older server, given as source text, on a fleet of its own."""

    def run(server, *, macs=1e6, **fleet):
        folder = tmp_path / "app"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (folder / "client_app.py").write_text(CLIENT, encoding="utf-8")
        (folder / "server_app.py").write_text(SERVER + textwrap.dedent(server), encoding="utf-8")
        settings = Settings("local")
        return run_app(
            folder, app_fleet(**fleet), declared=Declared.working(macs), settings=settings, out=tmp_path / "run"
        )

    return run


PLAIN = """
app = ServerApp(config=ServerConfig(num_rounds=1, round_timeout={timeout}), strategy=strategy())
"""


def test_round_timeouts_are_virtual_and_the_silent_are_failures(older):
    run = older(PLAIN.format(timeout=3600.0), macs=1e15)
    # Nobody is done after an hour: the round ends then, and Flower hears of 8 failures.
    assert run.summary["virtual_time_s"] == pytest.approx(3600)
    assert run.summary["wall_time_s"] < 3600
    assert run.summary["outcomes"] == {"late": 8}
    assert run.summary["metrics"] == {"answers": 0.0, "failures": 8.0}


def test_without_a_timeout_the_server_waits_for_the_slow(older):
    run = older(PLAIN.format(timeout=None), macs=1e13)
    assert run.summary["outcomes"] == {"arrived": 8}
    assert run.summary["virtual_time_s"] > 30
    assert run.summary["metrics"]["answers"] == 8.0


WAITING = """
app = ServerApp(config=ServerConfig(num_rounds=1), strategy=strategy(min_available_clients=20, min_fit_clients=20))
"""
NOON = "consumer-phones, start: Mon 12:00, availability: diurnal, rules: {charging: true, unmetered: true, idle: true}"


def test_waiting_for_clients_passes_virtual_time_until_they_come(older):
    run = older(WAITING, devices=60, mix=NOON)
    assert run.summary["wall_time_s"] < 3600
    # Few phones charge at noon; the round begins in the evening, with as many as the strategy waits for.
    starts_h = (run.clients["start_s"].unique() / 3600).to_list()
    assert len(starts_h) == 1
    assert 12 + 4 < starts_h[0] < 36
    assert len(run.clients) == 20


def test_who_waits_for_more_clients_than_come_in_a_day_goes_without_a_round(older):
    run = older(WAITING.replace("=20", "=200"), devices=20)
    # Flower's client manager gives up after a day, and samples nobody.
    assert len(run.clients) == 0
    assert run.summary["virtual_time_s"] == pytest.approx(86_400)
    assert not run.summary["trained"]


OFFLINE = """
class Asking(Strategy):
    def configure_fit(self, server_round, parameters, client_manager):
        for client in client_manager.sample(2):
            try:
                client.get_properties(GetPropertiesIns({}), timeout=0.001, group_id=server_round)
            except ValueError as error:
                print("silent:", error)
        return []

app = ServerApp(server_fn=lambda context: ServerAppComponents(
    config=ServerConfig(num_rounds=1),
    strategy=Asking(initial_parameters=ndarrays_to_parameters([np.zeros(2)]), fraction_evaluate=0.0),
))
"""


def test_a_client_that_does_not_answer_in_time_raises_as_in_flower(older, capsys):
    run = older(OFFLINE)
    assert capsys.readouterr().out.count("silent: Message contains an Error") == 2
    assert run.summary["outcomes"] == {"late": 2}
    assert run.summary["virtual_time_s"] == pytest.approx(0.002)


WORKFLOW = """
app = ServerApp()

@app.main()
def main(grid, context):
    for rounds in (1, 2):
        legacy = LegacyContext(context=context, config=ServerConfig(num_rounds=rounds), strategy=strategy())
        DefaultWorkflow()(grid, legacy)
"""


def test_workflows_one_after_the_other_have_rounds_of_their_own(older):
    run = older(WORKFLOW)
    assert run.summary["rounds"] == 3
    assert run.rounds["round"].to_list() == [0, 1, 1, 2]
    assert run.summary["outcomes"] == {"arrived": 24}


SILENT = """
app = ServerApp()

@app.main()
def main(grid, context):
    context = LegacyContext(context=context, config=ServerConfig(num_rounds=1), strategy=strategy())
    DefaultWorkflow()(grid, context)
    print(context.history.metrics_distributed_fit)
"""


def test_a_workflow_hears_of_the_silent_as_failures(older, capsys):
    run = older(SILENT, macs=1e13, mix="iot-gateway", extra="training: {deadline: 1 min}")
    assert set(run.summary["outcomes"]) == {"late"}
    assert run.summary["virtual_time_s"] == pytest.approx(60)
    # Nothing was aggregated, so that Flower's workflow writes nothing.
    assert capsys.readouterr().out.strip() == "{}"


THREADS = """
class Impatient(Server):
    def fit(self, num_rounds, timeout):
        client = self.client_manager().sample(1)[0]
        asking = threading.Thread(target=lambda: client.get_properties(GetPropertiesIns({}), 30, 1))
        asking.start()
        asking.join()
        return super().fit(num_rounds, timeout)

app = ServerApp(server_fn=lambda context: ServerAppComponents(
    server=Impatient(client_manager=SimpleClientManager(), strategy=strategy()), config=ServerConfig(num_rounds=1)
))
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_asks_from_threads_of_its_own_is_refused(older):
    with pytest.raises(FedliteError, match="asked from a thread of its own, expected the threads of a"):
        older(THREADS)


def test_names_of_flower_are_put_back(older):
    import concurrent.futures
    import importlib

    names = {
        "compat.app": ("start_update_client_manager_thread", "run_fl"),
        "workflow.default_workflows": ("start_update_client_manager_thread", "DefaultWorkflow"),
        "server": ("concurrent",),
    }

    def held():
        modules = {name: importlib.import_module(f"flwr.server.{name}") for name in names}
        found = [getattr(modules[module], name) for module, told in names.items() for name in told]
        return [*found, modules["workflow.default_workflows"].DefaultWorkflow.__call__]

    before = held()
    older(PLAIN.format(timeout=None))
    assert held() == before
    assert held()[-2] is concurrent
