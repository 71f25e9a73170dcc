"""Frozen values, and the documents that store them."""
