"""The keys of the configuration, one module per section."""
