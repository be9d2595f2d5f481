"""What Ray alone takes for the calls of a round: an actor that does nothing, with arrays as large as fedlite's.

    python benchmarks/speed/ray_floor.py

Per model: the call and its answer, with the model sent along (as fedlite does up to `INLINE_BYTES`) and through the
object store (as it does beyond). The answer has the size of the weighted sum that comes back, float64. The medians are
what no round on Ray can be faster than, however fast fedlite is.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import ray
from torch_nets import build

from fedlite.engine.ray_cluster import Cluster
from fedlite.engine.ray_pool import INLINE_BYTES

CALLS, WARM_UP = 300, 100


@ray.remote(num_cpus=1)
class Idle:
    """Answers with zeros of the shapes that it was given."""

    def answer(self, jobs, model):
        del jobs
        return {name: np.zeros(values.shape) for name, values in model.items()}


def main():
    cluster = Cluster(1, None)
    actor = Idle.remote()
    jobs = {"clients": np.arange(20), "seeds": np.arange(20)}
    print(f"ray {ray.__version__}, python {sys.version.split()[0]}, {CALLS} calls each, median and middle half")
    for name in ("mlp", "cnn"):
        model = {str(i): value.detach().numpy() for i, value in enumerate(build(name).state_dict().values())}
        sent_bytes = sum(values.nbytes for values in model.values())
        ways = {
            "sent along": lambda: ray.get(actor.answer.remote(jobs, model)),  # noqa: B023
            "through the store": lambda: ray.get(actor.answer.remote(jobs, ray.put(model))),  # noqa: B023
        }
        used = "sent along" if sent_bytes <= INLINE_BYTES else "through the store"
        for way, call in ways.items():
            low, middle, high = statistics.quantiles(_times_s(call), n=4)
            mark = ", fedlite's way" if way == used else ""
            figures = f"{1e3 * middle:.2f} ms ({1e3 * low:.2f} to {1e3 * high:.2f})"
            print(f"{name}, {sent_bytes} bytes {way}: {figures}{mark}")
    cluster.stop()


def _times_s(call):
    times = []
    for _ in range(CALLS + WARM_UP):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return times[WARM_UP:]


if __name__ == "__main__":
    main()
