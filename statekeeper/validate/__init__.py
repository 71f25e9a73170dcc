"""The work of `validating`: are staged parts whole, do their rows satisfy schema and keys, and what is quarantined."""
