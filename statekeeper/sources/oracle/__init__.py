"""Oracle Database as a source."""
