"""What an article says of compression, held against what is found here: size, speed and, with trained nets, accuracy.

    OMP_NUM_THREADS=1 python benchmarks/compression/claims.py

The claims are those of SoftServe, "Deep learning model compression and optimization". Sizes are lengths of files,
exact. Speed is that of the device model on named devices, with its band; for nets that compute in float32 also the
median of turns side by side on this machine. Accuracy is that of small nets of the same kinds, trained on real digits
(8 x 8 pixels, enlarged to 32 x 32). Writes claims.json and claims.md beside this file, and goes on with what
claims.json lacks.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from claims_page import page
from torch.nn.utils import prune

from fedlite.compose.bench import Bench
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compose.shipping import CALIBRATION_ROWS, Ware, ship
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.delivery.base import Artefact, Calibration, delivered
from fedlite.delivery.binarization import Binarization
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.learning import objectives
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.learning.training.threads import single_thread
from fedlite.learning.training.trainer import Trainer
from fedlite.pricing import inference
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique
from fedlite.techniques.technique import Recipe

HERE = Path(__file__).resolve().parent
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/compression/claims.py"
SHAPE, BUILT, CLASSES = (3, 224, 224), (3, 64, 64), 1000
"""Priced and run on the published size; built and probed, which changes no weight, on a smaller one: less memory."""
NETS = ("mobilenet-v2", "resnet50", "squeezenet1.1")
DEVICES = ("pixel-4", "pi-4b", "galaxy-a52")
FILES = {
    "static int8": (StaticQuantization(rows=2),),
    "dynamic int8": (DynamicQuantization(),),
    "structured, half of the channels": (StructuredPruning(0.5, round_to=8),),
    "weights of 4 bits": (WeightQuantization(4),),
    "signs": (Binarization(),),
    "16 clusters": (Clustering(16),),
    "8 clusters, coded": (Clustering(8), EntropyCoding("range")),
    "4 clusters, coded": (Clustering(4), EntropyCoding("range")),
}
PRUNED = "torch.nn.utils.prune, 90 %"
TURNS = 15

SEEDS = (1, 2, 3)
SMALL = {  # net -> width, options, epochs, learning rate
    "mobilenet-v2": (0.25, (("norm", "batch"),), 14, 1e-3),
    "resnet18": (0.125, (("norm", "batch"), ("stem", "small")), 8, 1e-3),
    "squeezenet1.1": (0.5, (), 30, 3e-4),
}
ROUNDS = 2
SHIPPED = {
    "static int8": Plan(deliveries=(StaticQuantization(),)),
    "dynamic int8": Plan(deliveries=(DynamicQuantization(),)),
    "weights of 8 bits": Plan(deliveries=(WeightQuantization(8),)),
    "weights of 4 bits": Plan(deliveries=(WeightQuantization(4),)),
    "weights of 2 bits": Plan(deliveries=(WeightQuantization(2),)),
    "16 clusters": Plan(deliveries=(Clustering(16),)),
    "8 clusters, coded": Plan(deliveries=(Clustering(8), EntropyCoding("range"))),
    "4 clusters, coded": Plan(deliveries=(Clustering(4), EntropyCoding("range"))),
    "90 % zeros": Plan(constraints=(Magnitude(0.9),)),
    "half of the channels": Plan(deliveries=(StructuredPruning(0.5),)),
}
TRAINED = {
    "static int8, trained for": ("qat-int8", {}),
    "signs, trained for": ("binarization", {}),
    "8 values, trained for": ("shared-weights", {"clusters": 8}),
    "90 % zeros, trained on": ("unstructured-pruning", {"sparsity": 0.9}),
    "half of the channels, trained on": ("structured-pruning", {}),
}


def main() -> None:
    place = HERE / "claims.json"
    found = json.loads(place.read_text()) if place.exists() else {"command": COMMAND}
    steps = {"files": files, "host": host}
    for name, make in steps.items():
        for net in NETS:
            if net not in found.setdefault(name, {}):
                found[name][net] = make(net)
                place.write_text(json.dumps(found, indent=1) + "\n")
    for seed in SEEDS:
        for net in SMALL:
            if str(seed) not in found.setdefault("accuracy", {}).setdefault(net, {}):
                found["accuracy"][net][str(seed)] = accuracy(net, seed)
                place.write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "claims.md").write_text(page(found))


def published(name: str) -> torch.nn.Module:
    norm = {} if name == "squeezenet1.1" else {"norm": "batch"}
    return build(name, input_shape=BUILT, num_classes=CLASSES, seed=0, **norm).eval()


def files(name: str) -> dict[str, object]:
    """Return length of the file, multiply-accumulates and priced latencies of each variant of a published net."""
    rows = Calibration(stream(0, "rows").normal(size=(2, *BUILT)).astype(np.float32), lambda _: 0.0, stream(0, "rest"))
    start = Artefact.of(published(name))
    told: dict[str, object] = {"float32": of_artefact(start, name)}
    pruned = published(name)
    zeroed(pruned)
    told[PRUNED] = of_artefact(Artefact.of(pruned), name)
    for label, deliveries in FILES.items():
        try:
            told[label] = of_artefact(delivered(start, deliveries, rows), name)
        except PartError as error:
            told[label] = {"refused": str(error)}
        print(name, label, told[label], flush=True)
    return told


def zeroed(net: torch.nn.Module) -> None:
    """Zero nine tenths of the weights of convolutions with torch's own tool, and make it permanent."""
    chosen = [(module, "weight") for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    prune.global_unstructured(chosen, pruning_method=prune.L1Unstructured, amount=0.9)
    for module, weight in chosen:
        prune.remove(module, weight)


def of_artefact(artefact: Artefact, name: str) -> dict[str, object]:
    # A net that lost channels is no longer the published one, by whose name devices have measurements.
    whole = trace(artefact.plain, SHAPE, name=name)
    known = name if whole.macs == trace(published(name), SHAPE, name=name).macs else ""
    workload = trace(artefact.plain, SHAPE, name=known)
    latency = {}
    for device in DEVICES:
        one = inference(load_profile(device), workload, artefact.precision)
        latency[device] = [1e3 * float(value) for value in (one.value, one.low, one.high)]
    return {"bytes": len(artefact.file()), "macs": int(workload.macs), "latency_ms": latency}


def host(name: str) -> dict[str, float]:
    """Return the median seconds of one inference in float32 on this machine, the nets taking turns."""
    rows = Calibration(np.zeros((2, *BUILT), np.float32), lambda _: 0.0, stream(0, "rest"))
    nets = {"float32": published(name), PRUNED: published(name)}
    zeroed(nets[PRUNED])
    half = "structured, half of the channels"
    nets[half] = delivered(Artefact.of(published(name)), FILES[half], rows).net.eval()
    took: dict[str, list[float]] = {label: [] for label in nets}
    x = torch.from_numpy(stream(0, "x").normal(size=(1, *SHAPE)).astype(np.float32))
    with single_thread(), torch.inference_mode():
        for turn in range(TURNS + 2):
            for label, net in nets.items():
                began = time.perf_counter()
                net(x)
                if turn > 1:
                    took[label].append(time.perf_counter() - began)
    return {label: statistics.median(values) for label, values in took.items()}


def accuracy(name: str, seed: int) -> dict[str, object]:
    """Return length of the file and accuracy of each variant of a small net that was trained on digits."""
    width, options, epochs, lr = SMALL[name]
    effort = Effort(epochs=epochs, rounds=ROUNDS, lr=lr, seed=seed)
    task = bench_task("digits", (name,), effort)
    bench = Bench(name, task, effort)
    plain = Recipe(width=width, options=options)
    trained = bench.train(plain)
    calibration = task.shares[0][:CALIBRATION_ROWS]
    ware = Ware(trained.spec, trained.arrays, task.data, calibration, task.held, seed, task.data.objective)
    whole = ship(ware, Plan())
    told: dict[str, object] = {"float32": measured(len(whole.file), whole.score.metrics)}
    told["float16"] = halved(whole.artefact.net, ware)
    for label, plan in SHIPPED.items():
        told[label] = tried(lambda plan=plan: ship(ware, plan))
    for label, (technique_, given) in TRAINED.items():
        plan = technique(technique_).made(given).plan
        told[label] = tried(lambda plan=plan: bench.run([Recipe(plan, width=width, options=options)]).shipped)
    print(name, seed, json.dumps(told), flush=True)
    return told


def tried(make) -> dict[str, object]:
    try:
        shipped = make()
    except PartError as error:
        return {"refused": str(error)}
    return measured(len(shipped.file), shipped.score.metrics)


def halved(net: torch.nn.Module, ware: Ware) -> dict[str, object]:
    artefact = Artefact.of(net, ("fp16",))
    file = artefact.file()
    trainer = Trainer(net, objective=objectives.objective(ware.objective), mode="sequential")
    score = trainer.evaluate(artefact.read(file), ware.data.x_test, ware.data.y_test)
    return measured(len(file), score.metrics)


def measured(length: int, metrics: dict[str, float]) -> dict[str, object]:
    return {"bytes": length, "accuracy": float(metrics["accuracy"])}


if __name__ == "__main__":
    main()
