"""Composition: the only place, beside `run`, `sweep` and `api`, where all layers meet."""
