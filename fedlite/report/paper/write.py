"""Writing figures as SVG, PDF or PNG: one file per view, the same bytes for the same results.

matplotlib (the extra `figures`) draws the very traces and layouts that a page hands to plotly, in the colours of the
light theme, at the size of a column.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.report.figure import Figure, View

KINDS: Final = ("svg", "pdf", "png")
COLUMN_MM: Final = 85.0
"""Width of a column of most journals' two."""
_NARROWEST_MM, _WIDEST_MM = 40.0, 600.0
_MM_PER_INCH: Final = 25.4
_STYLE: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that it is the same everywhere
    "font.size": 7.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "legend.frameon": False,
    "svg.hashsalt": "fedlite",
    "pdf.fonttype": 42,  # text that journals can search and edit
    "text.parse_math": False,  # a dollar sign in a name is one
    "savefig.dpi": 300,
}
_NO_DATE: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None, "Creator": "fedlite"},
    "pdf": {"CreationDate": None, "Creator": "fedlite", "Producer": None},
    "png": {"Software": "fedlite"},
}


class Figures(ABC):
    """What has figures, by name."""

    @property
    @abstractmethod
    def figures(self) -> dict[str, Figure]:
        """The figures by their ids."""

    def write_figures(self, folder: str | Path, kind: str = "svg", width_mm: float = COLUMN_MM) -> list[Path]:
        """Write every view of the figures as a file for a paper, as `write` does; return the files."""
        return write(self.figures, Path(folder), kind, width_mm)


def write(figures: Mapping[str, Figure], folder: Path, kind: str = "svg", width_mm: float = COLUMN_MM) -> list[Path]:
    """Write every view of the figures into a folder, over what an earlier call wrote, and return the files.

    Parameters
    ----------
    figures : mapping of id to Figure
    folder : Path
        Made if missing. A file is called after its figure and, where there are several, its view.
    kind : str
        One of `KINDS`.
    width_mm : float
        Of each figure; its height is that of the page, at a size at which text has 7 points.

    Raises
    ------
    FedliteError
        If matplotlib is not installed, the kind or the width is none, or a file cannot be written.
    """
    if kind not in KINDS:
        raise UnknownNameError("--format", kind, list(KINDS))
    if not _NARROWEST_MM <= width_mm <= _WIDEST_MM:
        raise FedliteError(f"--width: got {width_mm} mm, expected {_NARROWEST_MM:g} to {_WIDEST_MM:g}; a column has 85")
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise FedliteError(
            "figures: got no module matplotlib, which draws them; install the extra: pip install 'fedlite[figures]'"
        ) from error
    with mpl.rc_context():
        mpl.rcdefaults()  # not what somebody's matplotlibrc says
        mpl.rcParams.update(_STYLE)
        return [
            _saved(view, figure.height, folder / f"{name}.{kind}", kind, width_mm)
            for figure in figures.values()
            for name, view in named_views(figure)
        ]


def named_views(figure: Figure) -> list[tuple[str, View]]:
    """Return the views of a figure with the names of their files."""
    if len(figure.views) == 1:
        return [(figure.id, figure.views[0])]
    found: dict[str, View] = {}
    for view in figure.views:
        plain = f"{figure.id}-{re.sub(r'[^a-z0-9]+', '-', view.label.lower()).strip('-')}"
        while plain in found:
            plain += "-2"
        found[plain] = view
    return list(found.items())


def _saved(view: View, height: int, path: Path, kind: str, width_mm: float) -> Path:
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.paper.drawn import MM_PER_PIXEL, draw

    height_mm = view.at(width_mm / MM_PER_PIXEL).get("height", height) * MM_PER_PIXEL
    canvas = Canvas(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), layout="constrained")
    draw(canvas, view, width_mm)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(part, format=kind, metadata=_NO_DATE[kind])
        part.replace(path)
    except OSError as error:
        raise FedliteError(
            f"{path}: got {error} while writing, expected a folder with room and permission; choose another"
        ) from error
    return path
