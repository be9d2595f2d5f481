"""Published results, run again: scenarios/papers/*.yaml, each claim with the paper's figure, ours, and a verdict.

    OMP_NUM_THREADS=1 python benchmarks/papers/run.py

Runs what is not finished yet of every study (a killed one goes on where it was), then writes results.json and
results.md beside this file. `--only NAME` runs single studies, `--collect` none: it tells what lies in the directory
of runs, and leaves what it has of studies that have no directory there.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from fedlite.report.run_data import RunData, read_run
from fedlite.report.words import quantity
from fedlite.scenario.study import load_study

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from claims import Value, Values, numbers, over_seeds, shown
from measures import Accuracy, Measure, UpBytes
from published import PUBLISHED
from studies import finished, machine, run_open

if TYPE_CHECKING:
    from fedlite.compose.study_runs import StudyRun

HERE = Path(__file__).resolve().parent
PAPERS = HERE.parents[1] / "scenarios" / "papers"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/papers/run.py"
ORDER_ONLY = "order only"
INTRODUCTION = """\
`{command}` ({cores} cores of {processor}, Python {python}; the numbers do not
depend on the machine's speed). What each study leaves out or makes smaller stands at the top of its file in
scenarios/papers.

* Ours: the mean over the seeds, in brackets its 95 % interval by Student's *t*. Of two settings the difference, or of
  costs the factor, on the same seeds; of two gains the difference of these differences.
* **Reproduced**: all seeds get there, and the mean is within a fourth of the paper's figure; or the seeds tell two
  settings apart the paper's way, and the factor, where the paper has one, is within a fourth; or what is said to be as
  good loses at most a point, its whole interval.
* **Direction only**: the same, where the paper has no figure that could be met.
* **Same order**: within a factor of the root of ten (3.2) of the figure; or told apart the paper's way by another
  factor.
* **Undecided**, which is not met: not told apart, with the paper's factor in our interval, or where it has none the
  paper's way in the mean; or at most a point lost in the mean, and perhaps more.
* **Not reproduced**: all else. A run that never got to a target counts with all that it spent, the least that it can
  be, without an interval.
* "order only": the paper's own number is of other data or another net, or is not quoted. Every claim is tested by
  itself: of twenty that are nothing but noise, one would be told apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/papers"), help="where the studies' directories lie")
    parser.add_argument("--only", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED), help="run these studies")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args()
    for name in [] if given.collect else given.only:
        run_open(PAPERS / f"{name}.yaml", given.runs / name)
    place = HERE / "results.json"
    known = json.loads(place.read_text())["papers"] if place.exists() else {}
    found = {"command": COMMAND, "machine": machine(), "papers": {}}
    for name in PUBLISHED:
        folder = given.runs / name
        found["papers"][name] = known[name] if not folder.exists() and name in known else collected(name, folder)
    place.write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(page(found))


def collected(name: str, folder: Path) -> dict[str, object]:
    """Return the claims of a paper that can be judged, and every setting that is finished in all its seeds."""
    loaded = load_study(PAPERS / f"{name}.yaml")
    whole, open_ = finished(loaded, folder)
    title, claims = PUBLISHED[name]
    values = values_of(whole)
    told = []
    for claim in claims:
        if not set(claim.labels) & set(open_):
            judged = claim.judge(values)
            told.append(
                {
                    "claim": claim.claim,
                    "paper": claim.paper,
                    "ours": judged.ours,
                    "verdict": judged.verdict,
                    **({"but": but} if (but := getattr(claim, "but", "")) else {}),
                }
            )
    return {
        "title": title,
        "description": loaded.study.description,
        "seeds": list(loaded.study.seeds),
        "not_run": open_,
        "claims": told,
        "settings": settings(whole, values, sorted_measures(name)),
    }


def values_of(runs: list[StudyRun]) -> Values:
    """Return a function that measures the runs of a setting, by seed."""
    by_label: dict[str, dict[int, RunData]] = {}
    for run in runs:
        by_label.setdefault(run.label, {})[run.seed] = read_run(run.path)

    @cache
    def values(label: str, measure: Measure) -> dict[int, Value]:
        return {seed: measure(run) for seed, run in by_label[label].items()}

    return values


def sorted_measures(name: str) -> list[Measure]:
    """Return what a paper's claims measure, each once, after the accuracy in the end; bytes have a column anyway."""
    found = dict.fromkeys([Accuracy(), *(claim.measure for claim in PUBLISHED[name][1])])
    return [measure for measure in found if measure != UpBytes()]


def settings(runs: list[StudyRun], values: Values, measures: list[Measure]) -> list[dict[str, object]]:
    """Return a row for each setting: each measure over its seeds, and the digests of its runs."""
    rows = []
    for label in dict.fromkeys(run.label for run in runs):
        mine = [read_run(run.path) for run in runs if run.label == label]
        rows.append(
            {
                "label": label,
                "measures": [
                    {
                        **vars(over_seeds(values(label, measure))),
                        "name": measure.name,
                        "by_seed": list(numbers(values(label, measure)).values()),
                        "reached": sum(value.reached for value in values(label, measure).values()),
                        "shown": shown(values(label, measure), measure),
                    }
                    for measure in measures
                ],
                "rounds": max(run.rounds["round"].max() for run in mine),
                "up_bytes": fmean(UpBytes()(run).number for run in mine),
                "epsilon": (mine[0].summary.get("epsilon") or {}).get("epsilon"),
                "digests": [run.summary["digest"] for run in mine],
            }
        )
    return rows


def page(found: dict[str, object]) -> str:
    lines = ["# Published results, run again", "", INTRODUCTION.format(command=found["command"], **found["machine"])]
    for name, paper in found["papers"].items():
        seeds = ", ".join(map(str, paper["seeds"]))
        lines += ["", f"## {paper['title']}", ""]
        lines += [f"scenarios/papers/{name}.yaml, seeds {seeds}. {paper['description']}"]
        lines += claims_table(paper["claims"]) if paper["claims"] else []
        lines += settings_table(paper["settings"]) if paper["settings"] else []
        if paper["not_run"]:
            lines += ["", f"Not run yet: {'; '.join(paper['not_run'])}."]
    return "\n".join([*lines, ""])


def claims_table(claims: list[dict[str, str]]) -> list[str]:
    rows = [f"| {one['claim']} | {one['paper']} | {one['ours']} | {verdict(one)} |" for one in claims]
    return ["", "| claim | paper | ours | verdict |", "|---|---:|---:|---|", *rows]


def verdict(one: dict[str, str]) -> str:
    """Return the word of a verdict; where the paper has no number to be met, that it is of the direction alone."""
    word = "direction only" if one["paper"] == ORDER_ONLY and one["verdict"] == "reproduced" else one["verdict"]
    word = f"{word}, but {one['but']}" if one.get("but") else word
    return f"**{word}**" if one["verdict"] == "not reproduced" else word


def settings_table(rows: list[dict[str, object]]) -> list[str]:
    names = [one["name"] for one in rows[0]["measures"]]
    private = any(row["epsilon"] is not None for row in rows)
    head = ["setting", *names, "rounds", "sent up", *(["epsilon"] if private else [])]
    lines = ["", f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        cells = [row["label"], *(one["shown"] for one in row["measures"])]
        cells += [str(row["rounds"]), quantity(row["up_bytes"], "bytes")]
        cells += [f"{row['epsilon']:.3g}" if row["epsilon"] is not None else "none stated"] if private else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
