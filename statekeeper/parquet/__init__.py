"""Parquet files: types, the writer, memory limits, and whether a file is intact."""
