"""Columns as model and database agree on them, and how they drift apart."""
