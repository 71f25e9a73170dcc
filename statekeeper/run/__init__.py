"""Runs a pipeline: which tables, in which order, through which states, and what came of each."""
