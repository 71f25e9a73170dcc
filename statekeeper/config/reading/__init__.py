"""Turns text into checked data: YAML, references to the environment and to secrets, problems with their places."""
