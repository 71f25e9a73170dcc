"""Delta tables, by the library deltalake."""
