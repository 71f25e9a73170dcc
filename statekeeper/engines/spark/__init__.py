"""The Spark engine: the same work as in local worker processes, in the Python workers of Spark executors.

Only what the functions in `session` and `jobs` are given comes from pyspark; nothing else of this package knows it.
"""
