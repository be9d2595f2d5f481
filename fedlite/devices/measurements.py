"""Published measurements as typed rows: read from CSV, sorted into families, grouped by configuration.

The columns are those of the measurement collection in `benchmarks/device_model/data/`: id, device, workload, model,
precision, threads, batch, metric, unit, value, source, notes and, where known, macs_millions and input. Only the first
eleven are needed; rows that are no prediction target (power at the wall, HPL) are told apart, with the reason.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedlite.errors import InvalidFileError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUIRED: Final = (
    "device",
    "workload",
    "model",
    "precision",
    "threads",
    "batch",
    "metric",
    "unit",
    "value",
    "source",
    "notes",
)

UNIT_SI: Final = {
    "ms": 1e-3,
    "s": 1.0,
    "us": 1e-6,
    "uJ": 1e-6,
    "mJ": 1e-3,
    "J": 1.0,
    "MB": 1e6,
    "kB": 1e3,
}
"""Units of the prediction targets, in SI."""

ACCELERATOR: Final = (
    "accelerator: FPGAs, NPUs and application processors share no op-class costs; measure every network on them"
)

_POWERSAVE = re.compile(r"powersave=(\d)")
_ROUND = re.compile(r"tiny_results_(v\d+\.\d+)")
_FLAGGED = re.compile(r"leave out|excluded from fits", re.IGNORECASE)
_MCU = re.compile(r"stm32|nrf5|esp32|cortex-m|nucleo", re.IGNORECASE)
_NOT_MCU = re.compile(r"fpgaconvnet|vcu128|zcu106|snapdragon|syntiant|linux", re.IGNORECASE)


@dataclass(frozen=True)
class Measurement:
    """One measured quantity in SI units."""

    row: str
    """The row's id, or its line number in the file."""
    line: int
    device: str
    model: str
    family: str
    """Such as "ncnn-fp32" or "mcu-latency"; empty if the row is no prediction target."""
    setting: str
    """What else tells configurations of one device apart: power-save mode, benchmark round, engine version."""
    precision: str
    threads: str
    batch: int
    value: float
    source: str
    notes: str
    input: str
    macs_millions: float | None
    skip: str
    """Why the row is not used, or empty."""

    @property
    def group(self) -> tuple[str, str, str, str, str]:
        """The configuration that one set of anchors calibrates."""
        return (self.device, self.family, self.precision, self.threads, self.setting)

    @property
    def thread_count(self) -> int:
        """Threads as a number; 4 where the source only says "big cores" or "all cores", 1 where it says nothing."""
        if self.threads.isdigit():
            return int(self.threads)
        return 4 if "cores" in self.threads else 1


def read(path: Path) -> list[Measurement]:
    """Return all rows of a measurement file.

    Raises
    ------
    InvalidFileError
        If the file cannot be read, a column is missing, or a target row has no positive number, with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFileError(
            [Problem(str(path), 0, 0, "file", f"cannot be read ({error})", "give a UTF-8 CSV file of measurements")]
        ) from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
    if missing:
        got = ", ".join(reader.fieldnames or []) or "no header"
        raise InvalidFileError(
            [
                Problem(str(path), 1, 1, name, f"column missing (got {got})", f"add the columns {', '.join(missing)}")
                for name in missing
            ]
        )
    problems: list[Problem] = []
    rows = [_measurement(path, reader.line_num, record, problems) for record in reader]
    if problems:
        raise InvalidFileError(problems)
    return rows


def _measurement(path: Path, line: int, raw: Mapping[str, str | None], problems: list[Problem]) -> Measurement:
    record = {key: (value or "").strip() for key, value in raw.items() if isinstance(key, str)}
    family, skip = classify(record)
    value = float("nan")
    if not skip:
        value = _number(path, line, record, "value", problems) * UNIT_SI[record["unit"]]
    batch = record["batch"]
    return Measurement(
        row=record.get("id") or f"line {line}",
        line=line,
        device=record["device"],
        model=record["model"],
        family=family,
        setting=_setting(record),
        precision=record["precision"],
        threads=record["threads"],
        batch=int(batch) if batch.isdigit() else 1,
        value=value,
        source=record["source"],
        notes=record["notes"],
        input=record.get("input", ""),
        macs_millions=_optional(record.get("macs_millions", "")),
        skip=skip,
    )


def _number(path: Path, line: int, record: Mapping[str, str], key: str, problems: list[Problem]) -> float:
    number = _optional(record[key])
    if number is None or not 0.0 < number < float("inf"):
        message = f"got {record[key]!r}, expected a positive number in {record['unit']}"
        problems.append(Problem(str(path), line, 0, key, message, "write the measured value or remove the row"))
        return 1.0
    return number


def _optional(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _setting(record: Mapping[str, str]) -> str:
    source, notes = record["source"], record["notes"]
    parts = [f"powersave {match[1]}" for match in [_POWERSAVE.search(source)] if match]
    parts += [match[1] for match in [_ROUND.search(source)] if match]
    if re.search(r"tinyengine|esp-nn|aallan|executorch|learn\.arm", source, re.IGNORECASE):
        parts.append(notes.split(";")[0])
    return ", ".join(parts)


def classify(record: Mapping[str, str]) -> tuple[str, str]:
    """Return (family, reason to skip); exactly one of them is not empty."""
    if _FLAGGED.search(record["notes"]):
        return "", "flagged in its notes as unfit for validation"
    if record["unit"] not in UNIT_SI:
        return "", f"no prediction target: {record['metric'] or 'no metric'} in {record['unit'] or 'no unit'}"
    if "training" in record["workload"]:
        return _training_family(record)
    if not record["workload"].startswith("inference"):
        return "", f"no prediction target: workload {record['workload'] or 'not told'}"
    if "same graph" in record["workload"]:
        return "inference-batch", ""
    return _inference_family(record)


def _training_family(record: Mapping[str, str]) -> tuple[str, str]:
    metric = record["metric"]
    if "LSTM" in record["model"]:
        return "training-lstm-time", ""
    for word, family in (("time", "training-time"), ("energy", "training-energy"), ("memory", "training-memory")):
        if word in metric:
            return family, ""
    return "", f"no prediction target: {metric}"


def _inference_family(record: Mapping[str, str]) -> tuple[str, str]:
    source, device = record["source"], record["device"]
    metric = record["metric"]
    on_mcu = "tiny_results" in source or "tinyengine" in source or "esp-nn" in source or bool(_MCU.search(device))
    if on_mcu:
        if _NOT_MCU.search(device):
            family = "accelerator"
        elif record["precision"].startswith("fp32"):
            family = "mcu-float"
        else:
            family = "mcu"
        if "energy" in metric:
            return ("mcu-energy" if family.startswith("mcu") else "accelerator-energy"), ""
        if "latency" in metric:
            return f"{family}-latency", ""
        return "", f"no prediction target: {metric}"
    if "latency" not in metric:
        return "", f"no prediction target: {metric}"
    return _mobile_family(record), ""


def _mobile_family(record: Mapping[str, str]) -> str:
    precision, notes = record["precision"], record["notes"].lower()
    number = "int8" if precision.startswith("int8") else "fp32"
    if any(
        word in f"{record['device']} {record['threads']} {notes}".lower() for word in ("gpu", "edgetpu", "edge tpu")
    ):
        return "gpu" if "gpu" in f"{record['device']} {record['threads']}".lower() else "edge-tpu"
    source = record["source"].lower()
    if "ncnn" in source:
        if number == "int8":
            return "ncnn-int8"
        return "ncnn-fp16" if precision.startswith("fp16") else "ncnn-fp32"
    for engine in ("xnnpack", "tensorrt"):
        if engine in source or engine in notes:
            return f"{engine}-{number}"
    if "tensorflow lite" in notes or "tensorflow/lite" in source or "tflite" in source or "edge_tpu" in source:
        return f"tflite-{number}"
    return f"framework-{number}"
