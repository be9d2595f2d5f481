"""One round of Flower's own SecAgg+ over a vector of a given length."""

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow

app = ServerApp()


@app.main()
def main(grid, context):
    told = context.run_config
    legacy = LegacyContext(
        context=context,
        config=ServerConfig(num_rounds=1),
        strategy=FedAvg(
            fraction_evaluate=0.0,
            initial_parameters=ndarrays_to_parameters([np.zeros(told["length"], dtype=np.float32)]),
        ),
    )
    fit = SecAggPlusWorkflow(num_shares=told["shares"], reconstruction_threshold=told["threshold"], max_weight=100)
    DefaultWorkflow(fit_workflow=fit)(grid, legacy)
