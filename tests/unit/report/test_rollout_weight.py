"""What a page of a rollout weighs, where it has many classes and curves that are never level."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file, save_file

from fedlite.compose.rollout_run import rehearse
from fedlite.report.rollout_page import write_rollout_report
from fedlite.runner import Settings
from fedlite.scenario.rollout.loading import parse_rollout
from tests.unit.report.drawn import figures_of
from tests.unit.rollout.test_rollout_command import PLAN

LARGEST_PAGE_BYTES = 1_500_000
PHONES = (
    *("galaxy-a52", "galaxy-a21s", "galaxy-a54", "galaxy-note10", "galaxy-s20-fe", "galaxy-s23", "galaxy-s24"),
    *("iphone-12", "iphone-13", "iphone-14", "iphone-15", "iphone-16"),
)


def test_a_page_of_many_rough_curves_is_less_than_a_megabyte_and_a_half(tmp_path):
    plan = (
        PLAN.replace("galaxy-a52: 60 %, pi-4b: 20 %, nrf52840: 20 %", ", ".join(f"{name}: 1" for name in PHONES))
        .replace("replications: 6", "replications: 2")
        .replace("network: mobilenet_v1_0.25", "macs: 4.0e7")
    ) + "  - {name: worse, changes: {install_failure: 80 %}, on: {profiles: [iphone-16]}}\n"  # fmt: skip
    path = rehearse(parse_rollout(plan), out=tmp_path, settings=Settings("local")).path
    arrays, dice = load_file(path / "replications.safetensors"), np.random.default_rng(1)
    rough = {
        name: (values + dice.random(values.shape)).astype(values.dtype)
        for name, values in arrays.items()
        if name.endswith(("/coverage", "/course", "/let_in"))
    }
    save_file(arrays | rough, path / "replications.safetensors")
    page = write_rollout_report(path)
    assert page.stat().st_size < LARGEST_PAGE_BYTES
    small = figures_of(page.read_text(encoding="utf-8"))["coverage-by-class"]["views"]
    assert [len(view["traces"]) for view in small] == [2 * len(PHONES)] * 3
    assert len({len(trace["x"]) for view in small for trace in view["traces"]}) == 2
