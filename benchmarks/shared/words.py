"""The words that the texts of the benchmarks' tables are made of, as a list in SQL."""

from __future__ import annotations

WORDS = (
    "['quickly', 'final', 'deposits', 'sleep', 'furiously', 'accounts', 'ironic', 'packages', 'haggle', 'blithely', "
    "'regular', 'pending', 'requests', 'carefully', 'theodolites', 'foxes', 'unusual', 'platelets', 'express', "
    "'asymptotes']"
)
