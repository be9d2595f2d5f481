"""The final model of a finished run of a scenario, with what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlite.compose.learning import Learning, prepare
from fedlite.errors import FedliteError
from fedlite.report.run_data import NotARunError, check_model
from fedlite.scenario.loader import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.scenario.schema import Scenario


def scenario_of(run: Path, asked: str) -> Scenario:
    """Return the scenario of a run; `asked` is what names the run, for the message.

    Raises
    ------
    FedliteError
        If the directory holds no run of a scenario.
    """
    file = run / "scenario.yaml"
    if not run.is_dir():
        raise FedliteError(f"{asked}: got {run}, which is no directory, expected that of a run; mend the path")
    if (run / "app.json").exists() or not file.is_file():
        raise FedliteError(f"{asked}: got the run {run}, expected that of a scenario; name the directory of one")
    return load_scenario(file)


def learning_of(run: Path, asked: str) -> Learning:
    """Return what a run trained; raises as `scenario_of`."""
    return prepare(scenario_of(run, asked))


def final_arrays(run: Path, learning: Learning, asked: str) -> list[NDArray[Any]]:
    """Return the final model of a run.

    Raises
    ------
    FedliteError
        If there is none, or it is damaged or of another model.
    """
    try:
        check_model(run)
        tensors = load_file(run / "model.safetensors")
        return [tensors[name] for name in learning.names]
    except (OSError, SafetensorError, KeyError, NotARunError) as error:
        raise FedliteError(
            f"{asked}: got the run {run}, whose model.safetensors is damaged, missing or of another model ({error});"
            " train it again"
        ) from error
