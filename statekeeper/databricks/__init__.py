"""The Python API on Databricks, and the entry points of its jobs."""

from statekeeper.databricks.api import DatabricksDataExtractor, StatefulDatabricksDataExtractor

__all__ = ["DatabricksDataExtractor", "StatefulDatabricksDataExtractor"]
