"""Engines run jobs: in worker processes on this machine, or on Spark executors."""
