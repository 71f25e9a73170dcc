"""Extract database tables to validated Parquet through an explicit, persisted state machine that survives any crash."""

__version__ = "0.1.0"
