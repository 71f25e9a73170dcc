"""The rules of a schema, compiled to checks over whole columns."""
