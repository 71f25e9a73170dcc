"""Documents, parts and locks on a file system, durable step by step."""
