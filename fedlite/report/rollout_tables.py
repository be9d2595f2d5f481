"""The tables of a rehearsed rollout: by world, by class, by rehearsal, over time, and what its gates see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from fedlite.report.rollout_data import band

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.report.rollout_data import RolloutData, World

    Row = dict[str, Any]

FLEET: Final = "fleet"
"""What stands for all classes together."""
_BAND: Final = ("p5", "p50", "p95")
_WORDS: Final = frozenset({"world", "bad_classes", "class", "variant", "reason"})
_OF_GATES: Final = {
    "name": pl.String, "wave": pl.String, "of": pl.String, "n": pl.Int64, "reports": pl.Int64, "control": pl.Int64,
    "effect": pl.Float64, "power": pl.Float64, "mde": pl.Float64, "needed": pl.Int64,
}  # fmt: skip
_OF_REHEARSALS: Final = ("stop_s", "blast_devices", "blast_device_s", "blast_worst")


def frames(data: RolloutData) -> dict[str, pl.DataFrame]:
    """Return the tables by name. What never happened, or does not exist, is null; seconds are from the rollout's start.

    `_p5`, `_p50`, `_p95` are percentiles over the rehearsals of a world.
    """
    return {
        "worlds": _frame([_world(world) for world in data.worlds]),
        "classes": _frame([row for world in data.worlds for row in _classes(data, world)]),
        "rehearsals": pl.concat([_rehearsals(world) for world in data.worlds]),
        "coverage": pl.concat(
            [_coverage(data, world, name) for world in data.worlds for name in (None, *data.classes)]
        ),
        "gates": pl.DataFrame([{key: gate[key] for key in _OF_GATES} for gate in data.summary["gates"]], _OF_GATES),
    }  # fmt: skip


def _frame(rows: list[Row]) -> pl.DataFrame:
    """Return rows as a frame; a number that no row has is one all the same."""
    found = pl.DataFrame(rows, infer_schema_length=None, schema_overrides=dict.fromkeys(_WORDS & {*rows[0]}, pl.String))
    return found.with_columns(pl.col(pl.Null).cast(pl.Float64))


def _world(world: World) -> Row:
    told = {key: value for key, value in world.told.items() if key not in {"name", "bad_classes", "coverage"}}
    told["accuracy"] = {key: value for key, value in told["accuracy"].items() if key != "by_class"}
    told["detect_time_s"] = told["detect_time_s"] or dict.fromkeys(_BAND)
    return {"world": world.name, "bad_classes": ", ".join(world.told["bad_classes"]), **dict(_flat("", told))}


def _flat(name: str, value: Any) -> Iterator[tuple[str, float | None]]:
    """Yield the numbers of a nested summary under their joined names."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}_{key}" if name else str(key), item)
    else:
        yield name, value


def _classes(data: RolloutData, world: World) -> Iterator[Row]:
    of = data.summary["plan"]["classes"]
    for name, devices in data.classes.items():
        told = {"coverage": world.told["coverage"][name], "accuracy": world.told["accuracy"]["by_class"][name]}
        given = {"variant": of[name]["variant"], "reason": of[name]["reason"]}
        yield {"world": world.name, "class": name, "devices": devices, **given, **dict(_flat("", told))}


def _rehearsals(world: World) -> pl.DataFrame:
    gates = [*world.told["tripped"]]
    stopped_by = [gates[int(gate)] if gate >= 0 else None for gate in world.runs["tripped"]]
    times_s = {name: pl.Series(world.runs[name]) for name in _OF_REHEARSALS}
    found = pl.DataFrame({"stopped_by": pl.Series(stopped_by, dtype=pl.String), **times_s})
    found = found.with_columns(pl.when(pl.col("stop_s").is_finite()).then(pl.col("stop_s")))
    found = found.with_row_index("rehearsal", offset=1)
    return found.select(pl.lit(world.name).alias("world"), pl.all())


def _coverage(data: RolloutData, world: World, name: str | None) -> pl.DataFrame:
    shares = dict(zip(_BAND, data.coverage(world, name), strict=True))
    let_in = band(world.runs["let_in"])[1] / data.devices_of() if name is None else np.full(len(data.times_s), None)
    found = pl.DataFrame({"time_s": data.times_s, **shares, "let_in": pl.Series(let_in, dtype=pl.Float64)})
    return found.select(pl.lit(world.name).alias("world"), pl.lit(name or FLEET).alias("class"), pl.all())
