"""The file system: every durable change of it, and what it offers."""
