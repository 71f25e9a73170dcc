"""The Python API: extract one table, several, or a whole configured pipeline, and read their status.

The classes resolve a call into a pipeline, a run and tables; `statekeeper.run.runner` does the work.
"""

from statekeeper.api.extractor import DataExtractor
from statekeeper.api.stateful import StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
