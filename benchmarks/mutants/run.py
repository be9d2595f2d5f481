"""Do the tests notice when the code is wrong? Mutation testing of the parts that decide what a client job is and costs.

    python benchmarks/mutants/run.py --sample 400 --seed 1

Draws places of the modules in tests.toml, changes each in one way (places.py), runs the tests that tests.toml names for
the module on every mutant (server.py), and writes results/mutants.json and results/mutants.md. Survivors are explained
from survivors.toml, by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from places import Mutant, places, sample

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CLEAN_LIMIT_S = 600.0
Z95 = 1.959963984540054


def main() -> None:
    given = arguments()
    if given.page:
        write(given.out, json.loads((given.out / "mutants.json").read_text()))
        return
    scope = tests_of_modules()
    chosen = sorted(path for path in scope if path.startswith(tuple(given.only)))
    population = places(REPOSITORY, chosen)
    mutants = [unchanged(path) for path in chosen]
    if not given.control:
        mutants = sample(REPOSITORY, population.all, given.sample, given.seed)
    if given.again:
        names = {row["key"] for row in survived(json.loads(given.again.read_text())["mutants"])}
        mutants = [mutant for mutant in mutants if mutant.key in names]
    print(f"{len(mutants)} mutants of {len(population.all)} places in {len(chosen)} modules", flush=True)
    began, tested = time.monotonic(), commit()
    rows = run_all(mutants, scope, given.workers, given.timeout)
    found = {
        "command": "python benchmarks/mutants/run.py " + shlex.join(sys.argv[1:]),
        "commit": tested,
        "cosmic_ray": version("cosmic-ray"),
        "seed": given.seed,
        "modules": len(chosen),
        "places": len(population.all),
        "left_out": population.left_out,
        "minutes": round((time.monotonic() - began) / 60, 1),
        **rates(rows),
        "mutants": rows,
    }
    write(given.out, found)
    print(page(found))


def write(out: Path, found: dict[str, Any]) -> None:
    """Write the result as data and as a page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "mutants.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "mutants.md").write_text(page(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=400, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes at once; each has its own copy of the tree")
    parser.add_argument("--timeout", type=float, default=60.0, help="processor seconds a mutant has")
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of paths, instead of the whole scope")
    parser.add_argument("--again", type=Path, help="a mutants.json: run only those of the sample that survived there")
    parser.add_argument("--control", action="store_true", help="change nothing in every module: all must survive")
    parser.add_argument("--page", action="store_true", help="only write mutants.md again, from mutants.json")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def tests_of_modules() -> dict[str, list[str]]:
    """Return module -> its test files in the order of tests.toml."""
    table = tomllib.loads((HERE / "tests.toml").read_text())
    found: dict[str, list[str]] = {}
    for group in reversed(table["group"]):
        tests = expanded([*table["always"], *group["tests"]])
        found |= dict.fromkeys(expanded(group["modules"]), tests)
    return found


def expanded(patterns: list[str]) -> list[str]:
    """Return the files of glob patterns, in the order of the patterns, each once; one without a file is a mistake."""
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob(pattern))
        if not matches:
            raise SystemExit(f"tests.toml: {pattern} names no file")
        found |= dict.fromkeys(matches)
    return list(found)


def unchanged(path: str) -> Mutant:
    """Return a module that is another file and the same code."""
    return Mutant(path, 0, 0, "", "nothing", "", "", (REPOSITORY / path).read_text() + "\n# the same\n")


def run_all(mutants: list[Mutant], scope: dict[str, list[str]], workers: int, timeout_s: float) -> list[dict[str, Any]]:
    """Return one row per mutant, in their order, once the tests of every group have passed on the code as it is."""
    needed = {tuple(scope[mutant.path]) for mutant in mutants}
    with tempfile.TemporaryDirectory() as scratch:
        servers = [Server(Path(scratch) / str(i)) for i in range(workers)]
        check_clean(servers, [list(tests) for tests in sorted(needed)])
        wanted = [
            {
                "path": mutant.path,
                "source": mutant.source,
                "tests": scope[mutant.path],
                "title": mutant.key,
            }
            for mutant in mutants
        ]
        found = in_turns(servers, wanted, timeout_s)
        for server in servers:
            server.close()
    return [{**described(mutant), **one} for mutant, one in zip(mutants, found, strict=True)]


def check_clean(servers: list[Server], groups: list[list[str]]) -> None:
    """Run the tests of every group on the code as it is; let each tree have the byte code that this leaves in one."""
    work = [{"path": "", "source": None, "tests": tests} for tests in groups]
    for tests, found in zip(groups, in_turns(servers, work, CLEAN_LIMIT_S), strict=True):
        print(f"clean: {found['seconds']:.1f} s for {len(tests)} files, {tests[1]} first", flush=True)
        if found["outcome"] != "survived":
            raise SystemExit(f"the tests fail on the code as it is: {found['by'] or found['outcome']}")
    for one in servers:
        for made in one.tree.rglob("*.pyc"):
            for other in servers:
                place = other.tree / made.relative_to(one.tree)
                if not place.exists():
                    place.parent.mkdir(exist_ok=True)
                    shutil.copy2(made, place)


def described(mutant: Mutant) -> dict[str, Any]:
    """Return what a mutant is, without its text."""
    fields = asdict(mutant)
    del fields["source"]
    return {"key": mutant.key, **fields}


class Server:
    """One process of server.py with its own copy of the repository."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (REPOSITORY / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, tree / name)
        command = [sys.executable, str(HERE / "server.py"), str(tree)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree)

    def ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("server.py has ended")
        return json.loads(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def in_turns(servers: list[Server], wanted: list[dict[str, Any]], timeout_s: float) -> list[dict[str, Any]]:
    """Let whichever server is free take the next piece of work; answers come back in the order of the work."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for i in range(len(wanted)):
        waiting.put(i)
    answers: list[dict[str, Any]] = [{} for _ in wanted]

    def work(server: Server) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                i = waiting.get_nowait()
                answers[i] = server.ask({**wanted[i], "timeout_s": timeout_s})
                if "title" in wanted[i]:
                    print(
                        f"{i:4d} {answers[i]['outcome']:8} {answers[i]['seconds']:5.1f} s  {wanted[i]['title']}",
                        flush=True,
                    )

    threads = [threading.Thread(target=work, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def rates(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts, with the 95 % interval of Wilson (1927) around the share that was killed."""
    outcomes = Counter(row["outcome"] for row in rows)
    caught = outcomes["killed"] + outcomes["timeout"]
    low, high = wilson(caught, len(rows))
    return {
        "sample": len(rows),
        "killed": outcomes["killed"],
        "timeouts": outcomes["timeout"],
        "survived": outcomes["survived"],
        "killed_by_import": sum(row["by"].startswith("import of") for row in rows),
        "rate": round(caught / max(len(rows), 1), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    share, shrink = hits / n, 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / shrink
    half = Z95 / shrink * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return middle - half, middle + half


def commit() -> str:
    """Return the commit that was tested, and whether files of the package or the tests differ from it."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "fedlite", "tests"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return head.stdout.strip() + (" with changes" if changed.stdout else "")


def page(found: dict[str, Any]) -> str:
    """Return the result as a page; survivors are explained as `survivors.toml` says."""
    notes = {note["mutant"]: note for note in tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]}
    interval = f"{found['low']:.1%} to {found['high']:.1%}"
    caught = found["killed"] + found["timeouts"]
    commit_, changes = found["commit"][:12], found["commit"][40:]
    left_out = ", ".join(f"{count} {reason}" for reason, count in found["left_out"].items())
    lines = [
        "# Mutants",
        "",
        f"    {found['command']}",
        "",
        f"cosmic-ray {found['cosmic_ray']}, commit {commit_}{changes}, {found['minutes']} minutes.",
        f"{found['sample']} places drawn of {found['places']} in {found['modules']} modules, seed {found['seed']};",
        f"left out: {left_out}.",
        "",
        f"**Noticed: {caught} of {found['sample']}, {found['rate']:.1%}; 95 % interval (Wilson) {interval}.**",
        f"By the time limit: {found['timeouts']}; because nothing could be imported: {found['killed_by_import']}.",
        "",
        "| modules | mutants | noticed | survived | rate | 95 % interval |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, rows in by_package(found["mutants"]).items():
        part = rates(rows)
        lines.append(
            f"| `{name}` | {part['sample']} | {part['killed'] + part['timeouts']} | {part['survived']} |"
            f" {part['rate']:.0%} | {part['low']:.0%} to {part['high']:.0%} |"
        )
    lines += ["", "| operators | mutants | survived |", "|---|--:|--:|"]
    drawn, left = Counter(map(family, found["mutants"])), Counter(map(family, survivors := survived(found["mutants"])))
    lines += [f"| {name} | {count} | {left[name]} |" for name, count in drawn.most_common()]
    kinds = Counter(notes.get(row["key"], {}).get("kind", "not looked at") for row in survivors)
    lines += ["", "## Survivors", "", *(f"* {count} {kind}" for kind, count in kinds.most_common()), ""]
    lines += ["| where | was -> became | why nothing notices |", "|---|---|---|"]
    for row in sorted(survivors, key=lambda row: (row["path"], row["line"])):
        change = f"`{row['was']}` -> `{row['now']}`".replace("|", "\\|")
        note = notes.get(row["key"], {"kind": "not looked at", "why": ""})
        lines.append(f"| `{row['path']}`:{row['line']} | {change} | {note['kind']}: {note['why']} |")
    return "\n".join(lines) + "\n"


def survived(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mutants that nothing noticed."""
    return [row for row in rows if row["outcome"] == "survived"]


def family(row: dict[str, Any]) -> str:
    """Return the family of a mutant's operator, by cosmic-ray's name."""
    return row["operator"].split("_")[0]


def by_package(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows by package, modules of `fleet` and single files by themselves."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parts = row["path"].split("/")
        whole = parts[1] if parts[1] in ("client", "wire", "compression", "privacy") else "/".join(parts[1:])
        found.setdefault(f"fedlite/{whole}", []).append(row)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    main()
