"""The Python API on Databricks, and what its jobs call."""

from statekeeper.databricks.api import DatabricksDataExtractor, StatefulDatabricksDataExtractor

__all__ = ["DatabricksDataExtractor", "StatefulDatabricksDataExtractor"]
