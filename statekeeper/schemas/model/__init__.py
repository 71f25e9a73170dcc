"""Pydantic models and inline columns as data: fields, types, fingerprint."""
