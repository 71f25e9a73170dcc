"""Publishes validated parts in one step, and writes the commit record."""
