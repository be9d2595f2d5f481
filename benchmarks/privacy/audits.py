"""How often an audit is wrong, and how often it catches a mechanism that adds half of the noise that it states.

python benchmarks/privacy/audits.py          # about four minutes on one core; writes audits.md beside this file
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from fedlite import Settings, run
from fedlite.compose import scenario_campaign
from fedlite.compose.auditing import audit_run
from fedlite.scenario.loader import load_scenario

HERE = Path(__file__).resolve().parent
SCENARIO = HERE.parents[1] / "scenarios" / "privacy-canaries.yaml"
SEEDS = range(1, 21)


def main() -> None:
    rows = []
    for share in (1.0, 0.75, 0.5):
        found = [audited(seed, share) for seed in SEEDS]
        lower = [told["epsilon_lower"] for told in found]
        stated = found[0]["epsilon_stated"]
        caught = sum(told["kept"] is False for told in found)
        bounds = [np.mean([told["bounds"][place]["epsilon"] for told in found]) for place in range(3)]
        rows.append((share, stated, np.mean(lower), min(lower), max(lower), caught, *bounds))
    lines = [
        "# Audits of a mechanism that keeps its word, and of one that does not",
        "",
        "    python benchmarks/privacy/audits.py",
        "",
        f"`scenarios/{SCENARIO.name}`, {len(SEEDS)} seeds each, 95 % confidence.",
        "",
        "| share of the noise | stated | lower bound (least to greatest) | disproved | one-run | CP | Gaussian |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {share:.0%} | {stated:.2f} | {mean:.2f} ({least:.2f} to {most:.2f}) | {caught} of {len(SEEDS)} | "
        + " | ".join(f"{bound:.2f}" for bound in bounds)
        + " |"
        for share, stated, mean, least, most, caught, *bounds in rows
    ]
    text = "\n".join(lines) + "\n"
    (HERE / "audits.md").write_text(text, encoding="utf-8")
    print(text)


def audited(seed: int, share: float) -> dict:
    """Return the audit of a run whose server adds a share of the noise that the run states."""
    build = scenario_campaign.strategies.build

    def weaker(scenario, guard, fused):
        return build(scenario, replace(guard, sum_noise=guard.sum_noise * share), fused)

    scenario = load_scenario(SCENARIO, {"seed": seed})
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(scenario_campaign.strategies, "build", weaker):
        path = Path(folder) / "run"
        run(scenario, out=path, settings=Settings(backend="local"))
        return audit_run(path)


if __name__ == "__main__":
    main()
