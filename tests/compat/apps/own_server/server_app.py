"""A Server of the app's own: its own loop, its own thread pool, and results that it saves itself."""

import concurrent.futures

import numpy as np
from flwr.common import FitIns, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import Server, ServerApp, ServerAppComponents, ServerConfig, SimpleClientManager
from flwr.server.history import History
from flwr.server.strategy import FedAvg


class Momentum(Server):
    """Adds what the clients moved to a velocity that the server keeps."""

    def fit(self, num_rounds, timeout):
        history = History()
        self.parameters = ndarrays_to_parameters([np.zeros(3, dtype=np.float32)])
        velocity = np.zeros(3)
        for round_ in range(1, num_rounds + 1):
            [before] = parameters_to_ndarrays(self.parameters)
            clients = self.client_manager().sample(4, 4)
            answers = self.ask(clients, round_, timeout)
            moved = np.average(
                [parameters_to_ndarrays(answer.parameters)[0] - before for answer in answers],
                axis=0,
                weights=[answer.num_examples for answer in answers],
            )
            velocity = 0.5 * velocity + moved
            self.parameters = ndarrays_to_parameters([(before + velocity).astype(np.float32)])
            history.add_metrics_distributed_fit(round_, {"step": float(np.linalg.norm(velocity))})
        return history, 0.0

    def ask(self, clients, round_, timeout):
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            asked = {
                pool.submit(client.fit, FitIns(self.parameters, {"round": round_}), timeout, round_)
                for client in clients
            }
            done, _ = concurrent.futures.wait(asked)
        return [future.result() for future in done if future.exception() is None]


def server_fn(context):
    server = Momentum(client_manager=SimpleClientManager(), strategy=FedAvg())
    config = ServerConfig(num_rounds=context.run_config["num-server-rounds"], round_timeout=600)
    return ServerAppComponents(server=server, config=config)


app = ServerApp(server_fn=server_fn)
