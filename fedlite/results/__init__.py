"""Results: the run directory and its Parquet tables."""
