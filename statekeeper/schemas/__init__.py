"""Schemas of rows: models, the columns that they agree on with the database, and the rules that rows must satisfy."""
