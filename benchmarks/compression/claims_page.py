"""claims.json as a page: the verdicts follow from the numbers by the rules that are written beside them."""

from __future__ import annotations

from statistics import fmean
from typing import Any

Found = dict[str, Any]
WHOLE, PRUNED, HALF = "float32", "torch.nn.utils.prune, 90 %", "structured, half of the channels"
HOLDS_POINTS = 1.0
"""A mean loss up to this is called none: it is less than four of the 359 pictures."""


INTRODUCTION = """\
`{command}`. The claims are those of SoftServe, *Deep learning model compression and optimization*.

* Files are exact; weights of the published nets are random, which changes the length of entropy-coded files only.
* Latency is the device model's, one picture of 224 x 224 pixels, with its 80 % band.
* Small nets were trained on real digits ({seeds}):
  1,295 rows, 359 others to test on, so that one picture is 0.28 points. Then two rounds of four clients, plainly or
  under the technique ("trained for", "trained on"), which is little to recover in.
* A loss of at most {points:g} point in the mean is called none. Points lost are least and most over the nets,
  means over seeds."""
HOST = """\
Medians of turns that the nets took one after the other, as shares of the whole net's. Integer layers are executed here
for what they compute, not by the kernels that a device has; their time on this machine would say nothing."""


def page(found: Found) -> str:
    lines = [
        "# The article's claims, held against what is found here",
        "",
        INTRODUCTION.format(command=found["command"], points=HOLDS_POINTS, seeds=seeds_told(found["accuracy"])),
        "",
        *claims(found),
        "",
        "## Files of the published nets, 1,000 classes",
        "",
        *of_files(found["files"]),
        "",
        "## One inference on devices, by the device model",
        "",
        *of_latency(found["files"]),
        "",
        "## One inference in float32 on this machine",
        "",
        HOST,
        "",
        *of_host(found["host"]),
        "",
        "## Accuracy of small nets trained on digits",
        "",
        *of_accuracy(found["accuracy"]),
        "",
    ]
    return "\n".join(lines)


def seeds_told(accuracy: Found) -> str:
    """Return how many seeds each net was trained with."""
    return ", ".join(f"{name} with {len(seeds)} seed{'s' * (len(seeds) > 1)}" for name, seeds in accuracy.items())


def claims(found: Found) -> list[str]:
    files, host, accuracy = found["files"], found["host"], found["accuracy"]
    static = [smaller(files[net], "static int8") for net in files]
    fast = [faster(files[net], "static int8", device) for net in files for device in files[net][WHOLE]["latency_ms"]]
    dynamic = {net: smaller(files[net], "dynamic int8") for net in files}
    pruned = [smaller(files[net], PRUNED) for net in files]
    half = [smaller(files[net], HALF) for net in files]
    half_fast = [faster(files[net], HALF, device) for net in files for device in files[net][WHOLE]["latency_ms"]]
    host_pruned = [host[net][WHOLE] / host[net][PRUNED] for net in host]
    host_half = [host[net][WHOLE] / host[net][HALF] for net in host]
    three = {
        net: {way: loss(accuracy[net], way) for way in _QUANTIZED if not refused(accuracy[net], way)}
        for net in accuracy
    }
    apart = max(max(ways.values()) - min(ways.values()) for ways in three.values())
    least = [net for net, ways in three.items() if ways["static int8, trained for"] <= min(ways.values())]
    eight = [loss(accuracy[net], way) for net in accuracy for way in ("float16", "weights of 8 bits", "static int8")]
    signs = [loss(accuracy[net], "signs, trained for") for net in accuracy]
    clustered = [smaller(files[net], "8 clusters, coded") for net in files]
    rows = [
        ("static int8 makes files 3 to 4 times smaller", span(static, "x"), all(3 <= one <= 4 for one in static)),
        (
            "... and inference 1.2 to 3 times faster",
            span(fast, "x on the devices below"),
            all(1.2 <= f <= 3 for f in fast),
        ),
        (
            "dynamic int8 does nothing for SqueezeNet",
            f"{dynamic['squeezenet1.1']:.2f}x: refused, it has no linear layer",
            dynamic["squeezenet1.1"] == 1,
        ),
        (
            "... and elsewhere what linear layers weigh",
            ", ".join(f"{net} {value:.2f}x" for net, value in dynamic.items()),
            all(value < 1.5 for value in dynamic.values()),
        ),
        (
            "torch.nn.utils.prune gives neither size nor speed",
            f"{span(pruned, 'x')} smaller, {span(host_pruned, 'x')} faster here",
            max(pruned) < 1.01 and max(host_pruned) < 1.1,
        ),
        (
            "structured pruning gives both",
            f"{span(half, 'x')} smaller, {span(half_fast, 'x')} faster on the devices, {span(host_half, 'x')} here",
            min(half) > 1 and min(half_fast) > 1 and min(host_half) > 1,
        ),
        (
            "training for the quantisation loses least of the three",
            f"least for {len(least)} of {len(three)} nets; points lost: "
            + "; ".join(
                f"{net} {', '.join(points(ways[way]) if way in ways else 'refused' for way in _QUANTIZED)}"
                for net, ways in three.items()
            )
            + f" (dynamic, static, trained for): at most {apart:.1f} points apart",
            # Differences that are called no loss elsewhere make no order here.
            None if apart <= HOLDS_POINTS else len(least) == len(three),
        ),
        ("16 and 8 bits hold the accuracy", f"{lost(eight)} points lost", max(eight) <= HOLDS_POINTS),
        ("binarisation hurts", f"{lost(signs)} points lost", min(signs) > HOLDS_POINTS),
        (
            "clustering makes models 10 to 15 times smaller",
            f"{span(clustered, 'x')} with 8 clusters and an entropy coder, published nets",
            all(10 <= one <= 15 for one in clustered),
        ),
        (
            "... with minimal loss of accuracy",
            "; ".join(f"{way}: {each(accuracy, way)}" for way in _CLUSTERED),
            any(all(loss(one, way) <= HOLDS_POINTS for one in accuracy.values()) for way in _CLUSTERED),
        ),
    ]
    return ["| claim | found | holds |", "|---|---|---|"] + [
        f"| {claim} | {what} | {_VERDICTS[holds]} |" for claim, what, holds in rows
    ]


_VERDICTS = {True: "yes", False: "**no**", None: "not told apart"}
_CLUSTERED = ("8 clusters, coded", "8 values, trained for")
_QUANTIZED = ("dynamic int8", "static int8", "static int8, trained for")


def smaller(net: Found, label: str) -> float:
    """Return how many times smaller a file is; 1 if nothing could be done."""
    return float(net[WHOLE]["bytes"] / net[label].get("bytes", net[WHOLE]["bytes"]))


def faster(net: Found, label: str, device: str) -> float:
    return float(
        net[WHOLE]["latency_ms"][device][0] / net[label].get("latency_ms", net[WHOLE]["latency_ms"])[device][0]
    )


def ratio(seeds: Found, label: str) -> float:
    return fmean(smaller(one, label) for one in seeds.values())


def loss(seeds: Found, label: str) -> float:
    """Return the points of accuracy that a variant loses against float32, the mean over seeds; 0 if it was refused."""
    return fmean(
        100 * (one[WHOLE]["accuracy"] - one[label].get("accuracy", one[WHOLE]["accuracy"])) for one in seeds.values()
    )


def refused(seeds: Found, label: str) -> bool:
    return any("refused" in one[label] for one in seeds.values())


def each(accuracy: Found, label: str) -> str:
    """Return how much smaller each net's file became and what it lost."""
    return ", ".join(f"{net} {ratio(one, label):.1f}x for {points(loss(one, label))}" for net, one in accuracy.items())


def span(values: list[float], unit: str) -> str:
    return f"{min(values):.2f} to {max(values):.2f}{unit}"


def points(value: float) -> str:
    return f"{value:+.1f}"


def lost(values: list[float]) -> str:
    return f"{points(min(values))} to {points(max(values))}"


def of_files(files: Found) -> list[str]:
    rows = [f"| | {' | '.join(files)} |", "|---|" + "---:|" * len(files)]
    for label in next(iter(files.values())):
        cells = [
            "refused" if "refused" in net[label] else f"{net[label]['bytes'] / 1e6:.2f} MB ({smaller(net, label):.2f}x)"
            for net in files.values()
        ]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return rows


def of_latency(files: Found) -> list[str]:
    rows = ["| net | variant | " + " | ".join(next(iter(files.values()))[WHOLE]["latency_ms"]) + " |"]
    rows.append("|---|---|" + "---:|" * (rows[0].count("|") - 3))
    for name, net in files.items():
        for label in (WHOLE, "static int8", "dynamic int8", PRUNED, HALF):
            if "refused" in net[label]:
                continue
            cells = [
                f"{value:.3g} ms ({low:.3g} to {high:.3g}), {faster(net, label, device):.2f}x"
                for device, (value, low, high) in net[label]["latency_ms"].items()
            ]
            rows.append(f"| {name} | {label} | {' | '.join(cells)} |")
    return rows


def of_host(host: Found) -> list[str]:
    labels = [label for label in next(iter(host.values())) if label != WHOLE]
    rows = [f"| net | {WHOLE} | {' | '.join(labels)} |", "|---|" + "---:|" * (1 + len(labels))]
    for name, took in host.items():
        cells = [f"{took[WHOLE] / took[label]:.2f}x as fast" for label in labels]
        rows.append(f"| {name} | {1e3 * took[WHOLE]:.3g} ms | {' | '.join(cells)} |")
    return rows


def of_accuracy(accuracy: Found) -> list[str]:
    labels = list(next(iter(next(iter(accuracy.values())).values())))
    told = [f"| {label} | {' | '.join(_accuracy(one, label) for one in accuracy.values())} |" for label in labels]
    return [f"| | {' | '.join(accuracy)} |", "|---|" + "---:|" * len(accuracy), *told]


def _accuracy(seeds: Found, label: str) -> str:
    told = [one[label] for one in seeds.values()]
    if any("refused" in one for one in told):
        return "refused"
    values = [100 * one["accuracy"] for one in told]
    return f"{fmean(values):.1f} % ({min(values):.1f} to {max(values):.1f}), {ratio(seeds, label):.2f}x smaller"
