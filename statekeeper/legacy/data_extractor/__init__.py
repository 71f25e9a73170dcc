"""The name under which this package's classes were known before: `statekeeper` in a thinner coat.

New code imports `statekeeper.api`, and `statekeeper.databricks.api` on Databricks.
"""

from statekeeper.extractor import DataExtractor, StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
