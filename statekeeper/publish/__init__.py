"""Puts validated parts where readers look, all at once, and writes the commit record."""
