"""The Python API: extract one table, several, or a whole configured pipeline, and look at how they are.

The classes resolve what is asked for into a pipeline, a run and tables; `statekeeper.run.runner` does the work.
"""

from statekeeper.api.extractor import DataExtractor
from statekeeper.api.stateful import StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
