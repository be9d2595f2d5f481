"""Logistic regression of scikit-learn, started from the global model; its work is declared (--macs)."""

import warnings

import numpy as np
from flwr.client import ClientApp, NumPyClient
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss


def data(partition):
    rng = np.random.default_rng(partition)
    x = rng.normal(size=(40 + 4 * partition, 3))
    return x, (x @ [1.0, -2.0, 3.0] + rng.normal(size=len(x)) > 0).astype(int)


def model(parameters):
    found = LogisticRegression(max_iter=2, warm_start=True)
    found.classes_ = np.array([0, 1])
    found.coef_, found.intercept_ = parameters
    return found


def fitted(parameters, partition):
    found = model(parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found.fit(*data(partition))
    return [found.coef_, found.intercept_]


class Logistic(NumPyClient):
    def __init__(self, partition):
        self.partition = partition

    def fit(self, parameters, config):
        return fitted(parameters, self.partition), len(data(self.partition)[1]), {}

    def evaluate(self, parameters, config):
        x, y = data(self.partition)
        found = model(parameters)
        return log_loss(y, found.predict_proba(x)), len(y), {"accuracy": found.score(x, y)}


app = ClientApp(client_fn=lambda context: Logistic(int(context.node_config["partition-id"])).to_client())
