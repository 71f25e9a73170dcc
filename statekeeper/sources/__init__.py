"""The sources from which tables are extracted: one protocol, one registry, one package for each type of source."""
