"""The keys of the configuration, one module a section."""
