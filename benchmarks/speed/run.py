"""Measure every runner on the same work, side by side, and write results/speed.json and results/speed.md.

    python benchmarks/speed/run.py --python pfl=pfl-env/bin/python --python fedjax=fedjax-env/bin/python

The peers live in environments of their own (their pins contradict each other):

    python -m venv pfl-env    && pfl-env/bin/pip install torch==2.13.0 pfl scikit-learn
    python -m venv fedjax-env && fedjax-env/bin/pip install fedjax "jax<0.6" "jaxlib<0.6" scikit-learn

With `--accelerator cuda` (or mps) all of them compute there, and the results are speed-cuda.json and speed-cuda.md; no
such results are in the repository. A runner without an environment is left out and named in the result. Runners take
turns, `--repeats` times, so that a slow minute of the machine hits all of them; the figure is the median turn's median
round, first round excluded.
Ratios to the one-core trainer, and the fixed cost of a round beyond it, are taken turn by turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
ROWS = [(model, fleet, cohort) for model in ("mlp", "cnn") for fleet, cohort in ((100, 20), (1000, 100))]
RUNNERS = {
    "bare": "bare_runner.py",
    "flower": "flower_runner.py",
    "pfl": "pfl_runner.py",
    "fedjax": "fedjax_runner.py",
    "trainer": "trainer_runner.py",
    "fedlite-local": "fedlite_local_runner.py",
    "fedlite": "fedlite_runner.py",
}
HEADINGS = (
    *("runner", "clients/s", "spread", "x bare", "x trainer", "beyond ms"),
    *("processes", "rounds", "first round s", "accuracy"),
)
OWN_ENVIRONMENT = ("pfl", "fedjax")
PROCESSOR_ONLY = ("fedjax",)  # jax finds its accelerators by itself, in a build of its own
LIMIT_S = 600


def main():
    options = _options()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    chosen = [name for name in RUNNERS if not options.only or name in options.only]
    missing = [name for name in chosen if name in OWN_ENVIRONMENT and name not in pythons]
    if options.accelerator != "none":
        missing += [name for name in chosen if name in PROCESSOR_ONLY and name not in missing]
    machine, samples, failures = _machine(options.accelerator), {}, {}
    for turn in range(options.repeats):
        for row in ROWS:
            if options.models and row[0] not in options.models:
                continue
            for name in chosen:
                if name in missing or (name, *row) in failures:
                    continue
                result, problem = _measure(pythons.get(name, sys.executable), name, row, options)
                if result is None:
                    failures[(name, *row)] = problem
                    print(f"{name} {row}: failed: {problem}", file=sys.stderr)
                    continue
                samples.setdefault((name, *row), []).append(result | {"turn": turn})
                print(f"turn {turn + 1} {row}: {name} {result['clients_per_second']:.1f} clients/s", flush=True)
            machine["load_average_after"] = os.getloadavg()[0]
            _write(options, machine, _results(samples), missing, failures)
    print(f"wrote {_path(options, 'json')} and {_path(options, 'md').name}")


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="RUNNER=PATH")
    parser.add_argument("--only", nargs="*", choices=list(RUNNERS))
    parser.add_argument("--models", nargs="*", choices=["mlp", "cnn"])
    parser.add_argument("--seconds", type=float, default=5.0, help="per runner, row and turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--accelerator", choices=["none", "cuda", "mps"], default="none")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def _measure(python, name, row, options):
    """Run one runner once; return its result, or None and the last line of its complaint."""
    model, fleet, cohort = row
    command = [python, str(HERE / RUNNERS[name]), "--model", model, "--fleet", str(fleet), "--cohort", str(cohort)]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    if options.accelerator == "none":
        environment["CUDA_VISIBLE_DEVICES"] = ""  # pfl takes a GPU where it sees one
    if name not in OWN_ENVIRONMENT:
        environment["PYTHONPATH"] = str(REPOSITORY)
    try:
        done = subprocess.run(
            [*command, "--seconds", str(options.seconds), *_on(name, options.accelerator)],
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return None, f"took more than {LIMIT_S} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"runner"')]
    if done.returncode or not lines:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(lines[-1]), None


def _results(samples):
    """Return the median turn of every runner and row, compared with what the trainer did in the same turns."""
    results = []
    for (_, *row), turns in samples.items():
        alone = {turn["turn"]: turn["round_s"] for turn in samples.get(("trainer", *row), [])}
        pairs = [(turn["round_s"], alone[turn["turn"]]) for turn in turns if turn["turn"] in alone]
        compared = {
            "x_trainer": statistics.median(trainer_s / round_s for round_s, trainer_s in pairs),
            "beyond_trainer_s": statistics.median(round_s - trainer_s for round_s, trainer_s in pairs),
        }
        results.append(_median(turns) | (compared if pairs else {}))
    return results


def _on(name, accelerator):
    return [] if name in PROCESSOR_ONLY else ["--accelerator", accelerator]


def _path(options, suffix):
    on = "" if options.accelerator == "none" else f"-{options.accelerator}"
    return options.out / f"speed{on}.{suffix}"


def _median(turns):
    """Return the turn with the median speed, with the spread of all."""
    speeds = [turn["clients_per_second"] for turn in turns]
    middle = statistics.median_low(speeds)
    chosen = next(turn for turn in turns if turn["clients_per_second"] == middle)
    return chosen | {"turns": len(turns), "slowest": min(speeds), "fastest": max(speeds)}


def _machine(accelerator):
    from fedlite.learning.training.accelerator import find

    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "accelerator": find(accelerator).label,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg()[0],
    }


def _write(options, machine, results, missing, failures):
    command = f"python benchmarks/speed/run.py --seconds {options.seconds:g} --repeats {options.repeats}"
    command += "" if options.accelerator == "none" else f" --accelerator {options.accelerator}"
    record = {
        "command": command,
        "machine": machine,
        "results": results,
        "left_out": missing,
        "failures": [{"runner": key[0], "row": key[1:], "problem": problem} for key, problem in failures.items()],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    _path(options, "json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _path(options, "md").write_text(_page(record), encoding="utf-8")


def _page(record):
    machine, results = record["machine"], record["results"]
    lines = [
        "# Clients per second",
        "",
        (
            f"`{record['command']}` on {machine['cpu']}, {machine['cores']} cores, "
            f"accelerator {machine.get('accelerator', 'none')}, "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, Python {machine['python']}; load average "
            f"{machine['load_average_before']:.1f} before and {machine['load_average_after']:.1f} after."
        ),
        "",
        "50 samples per client, batch 10, one epoch of SGD, first round excluded; median turn and spread of all.",
        "`x bare` compares with the bare loop of the row, `x trainer` with fedlite's trainer in the same turns, on one",
        "core both; `beyond ms` is what a round takes beyond that trainer's. Accuracy only shows that it trained.",
    ]
    for model, fleet, cohort in ROWS:
        rows = [r for r in results if (r["model"], r["fleet"], r["cohort"]) == (model, fleet, cohort)]
        if not rows:
            continue
        bare = next((r["clients_per_second"] for r in rows if r["runner"] == "bare loop"), None)
        lines += [
            "",
            f"## {model}: {fleet} clients, cohort {cohort}",
            "",
            f"| {' | '.join(HEADINGS)} |",
            f"|---{'|---:' * (len(HEADINGS) - 1)}|",
        ]
        lines += [
            f"| {r['runner']} | {r['clients_per_second']:,.0f} | {r['slowest']:,.0f} - {r['fastest']:,.0f} "
            f"| {'' if bare is None else format(r['clients_per_second'] / bare, '.1f')} "
            f"| {format(r['x_trainer'], '.2f') if 'x_trainer' in r else ''} "
            f"| {format(1e3 * r['beyond_trainer_s'], '.1f') if 'x_trainer' in r else ''} | {r['processes']} "
            f"| {r['rounds']} | {r['first_round_s']:.2f} | {r['accuracy']:.2f} |"
            for r in sorted(rows, key=lambda r: r["clients_per_second"])
        ]
    lines += [f"\nLeft out (no environment given): {', '.join(record['left_out'])}."] if record["left_out"] else []
    lines += [f"\n{f['runner']} {tuple(f['row'])} failed: {f['problem']}" for f in record["failures"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
