"""Stores documents, parts and locks durably on a file system."""
