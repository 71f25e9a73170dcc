"""The databases that tables are extracted from: one protocol, one registry, one package for each type."""
