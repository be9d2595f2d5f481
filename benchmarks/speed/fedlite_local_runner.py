"""The same run of fedlite as `fedlite_runner`, without Ray: `--backend local`, one process and one thread."""

from fedlite_runner import main

if __name__ == "__main__":
    main("local")
