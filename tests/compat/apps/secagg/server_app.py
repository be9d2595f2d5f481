"""SecAgg+: an @app.main() that builds a LegacyContext and a workflow; every round takes four exchanges."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow

app = ServerApp()


@app.main()
def main(grid, context):
    legacy = LegacyContext(
        context=context,
        config=ServerConfig(num_rounds=context.run_config["num-server-rounds"]),
        strategy=FedAvg(
            min_available_clients=4,
            fraction_evaluate=0.5,
            initial_parameters=ndarrays_to_parameters([np.zeros(3, dtype=np.float32)]),
        ),
    )
    fit = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2, max_weight=100, clipping_range=8.0)
    DefaultWorkflow(fit_workflow=fit)(grid, legacy)
