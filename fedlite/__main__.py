"""The front door of the command line, `fedlite` and `python -m fedlite`: a Ctrl-C is heard from the first import on."""

from __future__ import annotations

import sys


def main() -> None:
    """Import the command line, which takes some tenths of a second, and run it."""
    try:
        from fedlite.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
