"""Try an installed fedlite where no source tree is near: what ships is inside, and a run comes to its results.

python smoke.py SITE    in an empty folder; SITE is the folder of packages that fedlite must come from
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WANTED = {
    *("run_dir", "digest", "rounds", "virtual_time_s", "wall_time_s", "energy_j", "up_bytes", "down_bytes"),
    *("metrics", "outcomes", "clients_per_second"),
}
FILES = ("report.html", "clients.parquet", "rounds.parquet", "model.safetensors", "manifest.json")


def fedlite(*arguments: str) -> str:
    """Return what a command prints."""
    command = [str(Path(sys.executable).with_name("fedlite")), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Try it; raise if something is missing."""
    import fedlite as package
    from fedlite.cli.validate import check, kind_of
    from fedlite.scenario.loader import open_document
    from fedlite.scenario.share import share_dir

    site = sys.argv[1]
    expect(str(package.__file__).startswith(site), f"fedlite of {site}", package.__file__)
    expect(Path(str(package.__file__)).with_name("py.typed").is_file(), "types for type checkers", "no py.typed")
    expect(package.__version__ in fedlite("--version"), package.__version__, fedlite("--version"))
    listed = json.loads(fedlite("devices", "list", "--json"))
    expect(len(listed["profiles"]) > 0 and len(listed["mixes"]) > 0, "profiles and mixes", listed)
    fedlite("init", "mine.yaml", "--fleet", "iot-mix", "--goal", "energy")
    expect("in order" in fedlite("validate", "mine.yaml"), "a scenario in order", fedlite("validate", "mine.yaml"))
    for path in sorted(share_dir("scenarios").rglob("*.yaml")):
        document = open_document(path)
        check(path, kind_of(document), document)
    smoke = share_dir("scenarios") / "digits-smoke.yaml"
    summary = json.loads(fedlite("run", str(smoke), "--backend", "local", "--json", "--out", "smoke").splitlines()[-1])
    expect(summary.keys() >= WANTED, f"a summary with {sorted(WANTED)}", sorted(summary))
    expect(summary["rounds"] == 8, "8 rounds", summary["rounds"])
    expect(summary["metrics"]["accuracy"] > 0.8, "accuracy above 0.80", summary["metrics"])
    expect(min(summary[key] for key in ("energy_j", "up_bytes", "virtual_time_s")) > 0, "costs", summary)
    for name in FILES:
        expect((Path(summary["run_dir"]) / name).stat().st_size > 0, f"a {name} that holds something", "an empty one")
    accuracy, wall_time_s = summary["metrics"]["accuracy"], summary["wall_time_s"]
    sys.stdout.write(f"{site}: digits-smoke reached accuracy {accuracy:.3f} in {wall_time_s:.1f} s\n")


def expect(holds: bool, expected: str, got: object) -> None:
    """Raise if something does not hold."""
    if not holds:
        raise SystemExit(f"got {got}, expected {expected}")


if __name__ == "__main__":
    main()
