"""(d) Google's fedjax with its default back end for one machine, `jit`; XLA takes what threads it wants."""

from __future__ import annotations

from importlib.metadata import version

import fedjax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from fedjax.algorithms import fed_avg
from work import BATCH, CLASSES, Stopwatch, arguments, data


def net(model):
    """Return the forward pass of the same net; images are height, width, channel here."""

    def forward(batch):
        x = batch["x"]
        if model == "mlp":
            return hk.Sequential([hk.Linear(64), jax.nn.relu, hk.Linear(CLASSES)])(x)

        def pooled(maps):
            return hk.max_pool(jax.nn.relu(maps), (2, 2, 1), (2, 2, 1), "VALID")

        x = pooled(hk.Conv2D(6, 5, padding="SAME")(x))
        x = pooled(hk.Conv2D(16, 5, padding="VALID")(x))
        return hk.Sequential(
            [hk.Flatten(), hk.Linear(120), jax.nn.relu, hk.Linear(84), jax.nn.relu, hk.Linear(CLASSES)]
        )(x)

    return hk.transform(forward)


def main():
    work = arguments()
    x, y, rows = data(work)
    if work.model == "cnn":
        x = np.ascontiguousarray(np.moveaxis(x, 1, 3))
    transformed = net(work.model)

    def loss(params, batch, rng):
        scores = jax.nn.log_softmax(transformed.apply(params, rng, batch))
        return -jnp.mean(jnp.take_along_axis(scores, batch["y"][:, None], axis=1))

    grad = jax.jit(jax.grad(loss))
    batching = fedjax.ShuffleRepeatBatchHParams(batch_size=BATCH, num_epochs=1)
    algorithm = fed_avg.federated_averaging(grad, fedjax.optimizers.sgd(work.lr), fedjax.optimizers.sgd(1.0), batching)
    federation = fedjax.InMemoryFederatedData({k: {"x": x[r], "y": y[r].astype(np.int32)} for k, r in enumerate(rows)})
    sampler = fedjax.client_samplers.UniformGetClientSampler(federation, work.cohort, seed=0)
    start = transformed.init(jax.random.PRNGKey(0), {"x": x[:2], "y": y[:2]})
    state = algorithm.init(start)
    watch = Stopwatch(work, "fedjax")
    more = True
    while more:
        state, _ = algorithm.apply(state, sampler.sample())
        jax.block_until_ready(state.params)
        more = watch.lap()
    right = transformed.apply(state.params, None, {"x": x}).argmax(1) == y
    watch.report(float(right.mean()), processes=1, jax=jax.__version__, fedjax=version("fedjax"))


if __name__ == "__main__":
    main()
