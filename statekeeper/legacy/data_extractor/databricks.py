"""The import path of older programs; the classes are those of `statekeeper.databricks.api`."""

from statekeeper.databricks import DatabricksDataExtractor, StatefulDatabricksDataExtractor

__all__ = ["DatabricksDataExtractor", "StatefulDatabricksDataExtractor"]
