"""A client that sends what it got, behind the mod that masks it."""

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod


class Echo(NumPyClient):
    def fit(self, parameters, config):
        return [np.asarray(parameters[0])], 10, {}


def client_fn(_context):
    return Echo().to_client()


app = ClientApp(client_fn=client_fn, mods=[secaggplus_mod])
