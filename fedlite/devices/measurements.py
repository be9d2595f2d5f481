"""Published measurements as typed rows: read from CSV, sorted into families, grouped by configuration.

The columns are those of the measurement collection in `benchmarks/device_model/data/`: id, device, workload, model,
precision, threads, batch, metric, unit, value, source, notes and, where known, macs_millions and input. Only the first
eleven are needed; `params_millions` helps to price networks that nobody drew. Rows that are no prediction target (power
at the wall, HPL) are told apart, with the reason.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices import cores, published, runtimes
from fedlite.devices.features import MILLION
from fedlite.errors import InvalidFileError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fedlite.devices.published import Net

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
    "accelerator: FPGAs, application processors and what does not tell its processor share no op-class costs; "
    "measure every network on them"
)

_POWERSAVE = re.compile(r"powersave=(\d)")
_ROUND = re.compile(r"tiny_results_(v\d+\.\d+)")
_FLAGGED = re.compile(r"leave out|excluded from fits|keep out of|unstructured sparse", re.IGNORECASE)
_MCU = re.compile(r"stm32(?!mp)|nrf5|esp32|cortex-m\d|nucleo", re.IGNORECASE)
_NOT_MCU = re.compile(r"fpgaconvnet|vcu128|zcu106|snapdragon|syntiant|linux", re.IGNORECASE)
_TOLD = re.compile(r"family=([\w/-]+)")
_TOLD_FAMILIES: Final = {
    "gpu-phone": "gpu", "gpu-board": "gpu", "apple-ane": "apple-engine", "npu-phone": "npu", "npu-board": "npu",
    "phone-low-power-npu": "npu", "mcu-npu": "npu", "mcu-npu/dsp": "npu", "fpga-npu": "accelerator",
    "cpu-board-or-vulkan": "accelerator", "mcu-dual-core": "mcu-cores-not-told",
    "mcu-core-count-not-told": "mcu-cores-not-told",
}  # fmt: skip
"""What a row's notes call its kind of processor -> family, where that alone decides."""
_TRACED_THREADS = 4
"""Threads where a row says "default"."""


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
    params_millions: float | None
    skip: str
    """Why the row is not used, or empty."""

    @property
    def group(self) -> tuple[str, str, str, str, str]:
        """The configuration that one set of anchors calibrates."""
        return (self.device, self.family, self.precision, self.threads, self.setting)

    @property
    def thread_count(self) -> int:
        """Threads as a number: told, all cores where the row says so, else 4 (1 on microcontrollers)."""
        number = re.search(r"\d+", self.threads)
        if number is not None:
            return max(1, int(number[0]))
        if self.on_mcu:
            return 1
        every = self.cores.count if "all" in self.threads else 0
        return every or min(_TRACED_THREADS, self.cores.count or _TRACED_THREADS)

    @property
    def on_mcu(self) -> bool:
        """Whether a microcontroller was measured."""
        return self.family.startswith("mcu")

    @property
    def cores(self) -> cores.Cores:
        """The cores that did the work, as far as device and source name them."""
        return _cores(self.device, self.source, self.notes, little="powersave 1" in self.setting)

    @property
    def runtime(self) -> runtimes.Runtime:
        """Engine and year."""
        return runtimes.read(f"{self.source} {self.notes}", on_mcu=self.on_mcu)

    @property
    def arithmetic(self) -> str:
        """What the engine computes in: "fp32", "fp16", "int8" or "int16"."""
        half = self.cores.half_math
        return runtimes.arithmetic(self.precision, half_math=half, engine=self.runtime.engine, on_mcu=self.on_mcu)

    @property
    def net(self) -> Net:
        """The row's network, or a stand-in for it."""
        macs = self.macs_millions and self.macs_millions * MILLION
        params = self.params_millions and self.params_millions * MILLION
        return published.identify(self.model, macs, params, side_of(self.input))


_BOARD = re.compile(r"\[(.*?)\]")


def _cores(device: str, source: str, notes: str, *, little: bool) -> cores.Cores:
    """Return the cores that the device's name tells, else the board in the source's brackets, else the notes."""
    board = _BOARD.search(source)
    text = f"{device} {board[1]}" if board else device
    known = cores.read(text, little=little)
    return known if known.named else cores.read(notes.partition(";")[2], little=little)


def side_of(shape: str) -> float:
    """Return the side of a square image of the same area as an input like "3x224x224" or "480x640", 0 if it is none."""
    numbers = [int(number) for number in re.findall(r"\d+", shape.partition(",")[0])]
    sizes = [number for number in numbers if number >= _SMALLEST_SIDE]
    return float(np.sqrt(sizes[0] * sizes[1])) if len(sizes) > 1 else 0.0


_SMALLEST_SIDE = 8


def read(path: Path) -> list[Measurement]:
    """Return all rows of a measurement file.

    Raises
    ------
    InvalidFileError
        If the file cannot be read, a column is missing, there is no row, or a target row has no positive number, with
        file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFileError(
            [Problem(str(path), 0, 0, "file", f"cannot be read ({error})", "give a UTF-8 CSV file of measurements")]
        ) from error
    if not text.strip():
        raise InvalidFileError([Problem(str(path), 1, 1, "file", "empty", f"write a header of {', '.join(REQUIRED)}")])
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
    if not rows:
        problems.append(Problem(str(path), 1, 1, "file", "a header and no row", "write a measurement a line below it"))
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
        params_millions=_optional(record.get("params_millions", "")),
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
    if re.search(r"tinyengine|esp-nn|aallan|learn\.arm", source, re.IGNORECASE):
        parts.append(notes.split(";")[0])
    if _TOLD.search(notes):
        parts += [_VERSION.sub("", notes.split(";")[1]).strip()] if ";" in notes else []
    return ", ".join(parts)


_VERSION = re.compile(r"avg=.*|\(?v?\d+(?:\.\d+)+\)?|CPU .*|MHz|\d+ ?(?=MHz)")
"""What of a note does not make another configuration: the release's last digits and statistics of the row."""


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
    device, metric = record["device"], record["metric"]
    if "energy" not in metric and "latency" not in metric:
        return "", f"no prediction target: {metric}"
    kind = "energy" if "energy" in metric else "latency"
    told = _TOLD.search(record["notes"])
    family = _TOLD_FAMILIES.get(told[1], "") if told else ""
    if family:
        return (family if family == "gpu" and kind == "latency" else f"{family}-{kind}"), ""
    source = record["source"]
    benchmark = "tiny_results" in source or "tinyengine" in source or "esp-nn" in source
    on_mcu = told[1].startswith("mcu") if told else benchmark or bool(_MCU.search(device))
    if not on_mcu:
        return (_mobile_family(record), "") if kind == "latency" else ("", f"no prediction target: {metric}")
    if told is None and _NOT_MCU.search(device):
        return f"accelerator-{kind}", ""
    if kind == "energy":
        return "mcu-energy", ""
    in_float = runtimes.arithmetic(record["precision"], on_mcu=True) == "fp32"
    return ("mcu-float-latency" if in_float else "mcu-latency"), ""


def _mobile_family(record: Mapping[str, str]) -> str:
    place = f"{record['device']} {record['threads']}".lower()
    notes = record["notes"].lower()
    if re.search(r"edge ?tpu", f"{place} {notes}") and "cpu" not in place:
        return "edge-tpu"
    if "gpu" in place or ("gpu" in notes and "family=cpu" not in notes):
        return "gpu"
    runtime = runtimes.read(f"{record['source']} {record['notes']}")
    if runtime.engine == "tensorrt":
        return "gpu"
    known = _cores(record["device"], record["source"], record["notes"], little=False)
    arithmetic = runtimes.arithmetic(record["precision"], half_math=known.half_math, engine=runtime.engine)
    return f"{runtime.engine}-{arithmetic}"
