"""Parquet files: types, the writer, how much of them is held in memory, and whether a file is whole."""
