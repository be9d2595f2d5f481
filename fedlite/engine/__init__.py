"""Execution: chunks of client jobs, in this process or on Ray actors."""
