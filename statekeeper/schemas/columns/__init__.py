"""Reconciles a model's fields with the database's columns, and handles drift."""
