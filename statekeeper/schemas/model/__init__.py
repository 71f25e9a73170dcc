"""A pydantic model, or columns written inline, as data: fields, types, fingerprint."""
