"""Frozen values, and the documents they are kept in."""
