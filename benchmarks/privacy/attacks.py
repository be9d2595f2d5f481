"""What a curious server reads off updates, under codecs and under noise: a study, and two attacks on each run.

    python benchmarks/privacy/attacks.py         # about five minutes on two cores; writes attacks.md beside this file

Runs go to `runs/privacy-compression-is-not-privacy`; those that are finished are taken as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from fedlite.compose.attacking import attack
from fedlite.scenario.study import load_study

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import studies  # noqa: E402 - beside this folder

NAME = "privacy-compression-is-not-privacy"
STUDY = HERE.parents[1] / "scenarios" / "studies" / f"{NAME}.yaml"
FOLDER = Path("runs") / NAME
COLUMNS = {
    "psnr_db": ("PSNR", "{:.1f} dB"),
    "recovered": ("recovered", "{:.0%}"),
    "label": ("label read", "{:.0%}"),
    "accuracy": ("accuracy", "{:.3f}"),
    "up_bytes": ("bytes up, each", "{:,.0f}"),
}


def main() -> None:
    studies.run_open(STUDY, FOLDER)
    runs, open_ = studies.finished(load_study(STUDY), FOLDER)
    if open_:
        raise SystemExit(f"not finished: {', '.join(open_)}")
    rows: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        rows.setdefault(run.label, []).append(attacked(run.path))
    baseline = np.mean([one["baseline_db"] for found in rows.values() for one in found])
    common = np.mean([one["guess"] for found in rows.values() for one in found])
    lines = [
        "# Compression is not privacy",
        "",
        "    python benchmarks/privacy/attacks.py",
        "",
        (
            "Digits, one picture each, the updates of 16 clients in the first round; mean over seeds, least to greatest"
            f" in brackets. The mean picture of public data has {baseline:.1f} dB, the commonest label is that of"
            f" {common:.0%} of the clients."
        ),
        "",
        "| update | " + " | ".join(words for words, _ in COLUMNS.values()) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    lines += [
        f"| {label} | " + " | ".join(_cell(found, key) for key in COLUMNS) + " |" for label, found in rows.items()
    ]
    text = "\n".join([*lines, "", f"{studies.machine()['processor']}."]) + "\n"
    (HERE / "attacks.md").write_text(text, encoding="utf-8")
    print(text)


def attacked(path: Path) -> dict[str, float]:
    """Return what two attacks on a run come to, and what it was worth."""
    inputs, labels = attack(path, "inversion"), attack(path, "label")
    summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    return {
        "psnr_db": inputs["psnr_db"],
        "recovered": inputs["recovered"],
        "baseline_db": inputs["baseline_db"],
        "label": labels["likeliest_is_there"],
        "guess": labels["guess_is_there"],
        "accuracy": summary["metrics"]["accuracy"],
        "up_bytes": summary["up_bytes"] / summary["outcomes"]["arrived"],
    }


def _cell(found: list[dict[str, float]], key: str) -> str:
    values, form = [one[key] for one in found], COLUMNS[key][1]
    if len({form.format(value) for value in values}) == 1:
        return form.format(values[0])
    return f"{form.format(np.mean(values))} ({form.format(min(values))} to {form.format(max(values))})"


if __name__ == "__main__":
    main()
