"""The Spark engine: runs the same jobs as local worker processes, in the Python workers of Spark executors.

Only `session`, `jobs` and `preflight` use objects of pyspark; no other module of this package depends on it.
"""
