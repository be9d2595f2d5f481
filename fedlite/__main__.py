"""`python -m fedlite`: the command line."""

from fedlite.cli.main import main

if __name__ == "__main__":
    main()
