"""How far predictions are from published measurements of devices that were never fitted.

Rows are grouped by (device, family, precision, threads, setting). In each group K anchor rows, taken in the order of
`anchors`, calibrate; every other row is predicted from them alone. K = 0 predicts from the spec sheet where the row's
text names core and clock. Errors are |predicted - measured| / measured in percent; `within25` is the percentage of
rows within 25 %.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from fedlite.devices import measurements, recurrent
from fedlite.devices.validation_records import GroupResult, Skipped, Validation
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fedlite.devices.measurements import Measurement


def validate_file(path: Path, anchors: int) -> Validation:
    """Return the validation of a measurement file with `anchors` calibrating rows per group.

    Raises
    ------
    InvalidFileError
        If the file is no measurement file.
    FedliteError
        If `anchors` is negative.
    """
    return validate(measurements.read(path), anchors)


def validate(rows: Sequence[Measurement], anchors: int) -> Validation:
    """Return the validation of measured rows; see the module's text."""
    if anchors < 0:
        raise FedliteError(f"--anchors: got {anchors}, expected 0 or more; 1 is a single calibrating measurement")
    from fedlite.devices.validation_kinds import (
        predict_energy,
        predict_inference,
        predict_recurrent,
        predict_training,
    )

    usable, skipped = _usable(rows)
    grouped: dict[tuple[str, ...], list[Measurement]] = defaultdict(list)
    for row in usable:
        if row.family == "accelerator-latency":
            skipped.append(_skip(row, measurements.ACCELERATOR))
        else:
            grouped[_key(row)].append(row)
    latencies = {(row.device, row.setting, row.model): row.value for row in usable if row.family.endswith("-latency")}
    results: list[GroupResult] = []
    for members in grouped.values():
        family = members[0].family
        if _is_latency(family):
            result = predict_inference(members, anchors)
        elif family == "training-lstm-time":
            result = predict_recurrent(members, anchors)
        elif family.endswith("-energy") and not family.startswith("training"):
            result = predict_energy(members, anchors, latencies)
        else:
            result = predict_training(members, anchors)
        if isinstance(result, str):
            skipped += [_skip(row, result) for row in members]
        else:
            results.append(result)
    return Validation(tuple(results), tuple(skipped))


def _key(row: Measurement) -> tuple[str, ...]:
    per_net = row.family in ("training-time", "training-energy", "training-memory", "inference-batch")
    return (*row.group, row.model) if per_net else row.group


def _is_latency(family: str) -> bool:
    return not family.startswith("training-") and not family.endswith("-energy") and family != "inference-batch"


def _skip(row: Measurement, reason: str) -> Skipped:
    return Skipped(row.row, row.device, row.model, reason)


def _usable(rows: Iterable[Measurement]) -> tuple[list[Measurement], list[Skipped]]:
    usable: list[Measurement] = []
    skipped: list[Skipped] = []
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        # Benchmark rounds republish old results; an identical number is the same measurement.
        identity = (row.device, row.family, row.precision, row.threads, row.model, row.batch, row.value)
        is_lstm = row.family == "training-lstm-time"
        if row.skip:
            skipped.append(_skip(row, row.skip))
        elif is_lstm and recurrent.named_terms(row.model, row.batch) is None:
            skipped.append(_skip(row, "unknown network: sizes of the recurrent layers are not told"))
        elif identity in seen and "tiny_results" in row.source:
            skipped.append(_skip(row, "republished: identical to an earlier row"))
        else:
            seen.add(identity)
            usable.append(row)
    return usable, skipped
