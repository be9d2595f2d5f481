"""Trees that grow from round to round; the model is the bytes of a booster, its work is declared (--macs)."""

import numpy as np
import xgboost as xgb
from flwr.client import Client, ClientApp
from flwr.common import Code, FitRes, Parameters, Status

SETTINGS = {"objective": "reg:squarederror", "max_depth": 2, "nthread": 1}


def data(partition):
    x = np.random.default_rng(partition).normal(size=(40, 3))
    return xgb.DMatrix(x, label=x @ [1.0, -2.0, 3.0])


class Trees(Client):
    def __init__(self, partition):
        self.partition = partition

    def fit(self, ins):
        booster = xgb.Booster(SETTINGS, [data(self.partition)])
        if ins.parameters.tensors:
            booster.load_model(bytearray(ins.parameters.tensors[0]))
        booster.update(data(self.partition), booster.num_boosted_rounds())
        last = booster.num_boosted_rounds()
        grown = booster[last - 1 : last].save_raw("json")
        return FitRes(Status(Code.OK, ""), Parameters([bytes(grown)], ""), 40, {})


app = ClientApp(client_fn=lambda context: Trees(int(context.node_config["partition-id"])))
