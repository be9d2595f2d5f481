"""One figure per module; each is a pure function from tables to a `Figure`."""
