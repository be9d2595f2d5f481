"""The face: typer commands, rich output, exit codes; no logic."""
