"""The commands that a person types next, and which of them fit a run's status."""
