"""A Flower app directory: what its pyproject.toml says, and its components, imported.

Reading takes `tomllib` and `importlib` only; Flower's own loader starts a SuperLink, or changes between releases.
"""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedlite import own_code, sources
from fedlite.errors import FedliteError

Value = bool | int | float | str
RunConfig = dict[str, Value]

_OVERRIDE: Final = re.compile(r"(\S+?)=('[^']*'|\"[^\"]*\"|\S+)")
"""The form in which `flwr run --run-config` takes values."""


@dataclass(frozen=True)
class AppDirectory:
    """A Flower app as its pyproject.toml describes it.

    Attributes
    ----------
    path : Path
        The directory, absolute.
    name : str
    server, client : str
        Its components, as `package.module:attribute`.
    config : dict
        `[tool.flwr.app.config]`, nested tables as dotted keys.
    """

    path: Path
    name: str
    server: str
    client: str
    config: RunConfig


def read_app(path: Path) -> AppDirectory:
    """Read an app directory.

    Raises
    ------
    FedliteError
        If there is no such app, or its pyproject.toml lacks what Flower needs.
    """
    file = path / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FedliteError(
            f"{path}: got no readable pyproject.toml ({error.strerror}), expected the directory of a Flower app;"
            " `fedlite init --app` writes one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FedliteError(f"{file}: got {error}, expected TOML; correct the file") from error
    table = _table(project, file, "tool", "flwr", "app")
    components = _table(project, file, "tool", "flwr", "app", "components")
    for key in ("serverapp", "clientapp"):
        if not isinstance(components.get(key), str) or ":" not in components[key]:
            raise FedliteError(
                f"{file}: tool.flwr.app.components.{key}: got {components.get(key)!r}, expected 'package.module:app';"
                " name the object there"
            )
    return AppDirectory(
        path=path.resolve(),
        name=str(_table(project, file, "project").get("name", path.resolve().name)),
        server=components["serverapp"],
        client=components["clientapp"],
        config=_flat(table.get("config", {}), f"{file}: tool.flwr.app.config"),
    )


def overridden(config: RunConfig, overrides: str) -> RunConfig:
    """Return a run config with values replaced, as `flwr run --run-config` does.

    Parameters
    ----------
    config : dict
        The app's own.
    overrides : str
        `"key=value key2='some text'"` with TOML values, or the path of a TOML file.

    Raises
    ------
    FedliteError
        If a key is not in the app's config, or the text is in neither form.
    """
    if not overrides.strip():
        return dict(config)
    place = f"--run-config: got {overrides!r}"
    try:
        if overrides.strip().endswith(".toml"):
            found = tomllib.loads(Path(overrides.strip()).read_text(encoding="utf-8"))
        else:
            if _OVERRIDE.sub("", overrides).strip():
                raise FedliteError(f"{place}, expected \"key=value other='text'\"; put a space between the pairs")
            found = tomllib.loads("\n".join(f"{key} = {value}" for key, value in _OVERRIDE.findall(overrides)))
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise FedliteError(
            f"{place} ({error}), expected numbers, true, false, or text in quotes; write \"lr=0.1 name='x'\""
        ) from error
    values = _flat(found, place)
    unknown = sorted(set(values) - set(config))
    if unknown:
        raise FedliteError(
            f"{place}, which names {', '.join(unknown)};"
            f" expected keys of the app's config: {', '.join(config) or 'none'}"
        )
    return {**config, **values}


def load_component(reference: str, folder: Path | None) -> Any:
    """Import an object named as `package.module:attribute`, from an app's folder if one is given.

    Modules of the same name that another app's folder brought in are dropped first.

    Raises
    ------
    FedliteError
        If it cannot be imported.
    """
    if folder is not None:
        _put_first(folder)
    try:
        return own_code.load(reference)
    except own_code.OwnCodeError as error:
        raise FedliteError(
            f"{folder or 'task.app.client'}: got {reference!r}, which cannot be imported ({error});"
            " correct the name, mend the app, or install what it needs into this environment"
        ) from error


def app_files(folder: Path) -> dict[str, Path]:
    """Return an app's files, and those of the user's own that it imports: a resumed run must find them as they were.

    By their path in the app's folder, or in the folder that they are imported from.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sources.files_in(folder)}
    code = [path for path in files.values() if path.suffix in sources.CODE]
    return sources.files_imported_by(code, folder) | files


def _put_first(folder: Path) -> None:
    place = str(folder)
    if sys.path[:1] != [place]:
        sys.path[:] = [place, *(entry for entry in sys.path if entry != place)]
        importlib.invalidate_caches()
    own = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in own and _foreign(module, folder):
            del sys.modules[name]


def _foreign(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return any(not Path(place).resolve().is_relative_to(folder) for place in getattr(module, "__path__", ()))
    return not Path(file).resolve().is_relative_to(folder)


def _table(project: Mapping[str, Any], file: Path, *keys: str) -> Mapping[str, Any]:
    found: Any = project
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise FedliteError(
            f"{file}: got no table [{'.'.join(keys)}], expected the pyproject.toml of a Flower app;"
            " `fedlite init --app` writes one"
        )
    return found


def _flat(table: Mapping[str, Any], place: str, prefix: str = "") -> RunConfig:
    flat: RunConfig = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, place, f"{prefix}{key}.")
        elif isinstance(value, Value):
            flat[f"{prefix}{key}"] = value
        else:
            raise FedliteError(
                f"{place}: {prefix}{key}: got {type(value).__name__}, expected true, false, a number or text;"
                " Flower's run config holds nothing else"
            )
    return flat
