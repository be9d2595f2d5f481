"""Take a picture of the top of pages, light, when all of their figures are drawn: for docs/gallery.md and README.md.

python docs/site/pictures.py [--height PIXELS] PAGE=PICTURE.png ...
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WIDTH_PX = 1180


def main() -> None:
    """Take the pictures that the command line asks for."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("pairs", nargs="+", metavar="PAGE=PICTURE")
    asked.add_argument("--height", type=int, default=1300)
    told = asked.parse_args()
    browser = _devtools().Browser()
    try:
        for pair in told.pairs:
            page, _, picture = pair.partition("=")
            browser.open(page, width=WIDTH_PX)
            Path(picture).parent.mkdir(parents=True, exist_ok=True)
            browser.picture(picture, height=told.height)
    finally:
        browser.close()


def _devtools() -> Any:
    """Return the browser of the tests, which waits until a page is drawn: any time is too short on a busy machine."""
    spec = importlib.util.spec_from_file_location("devtools", ROOT / "tests" / "browser" / "devtools.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
