"""The file system: durable changes of it, and which operations it offers."""
