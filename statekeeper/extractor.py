"""`from statekeeper.extractor import DataExtractor`: the Python API by the name of its first version."""

from statekeeper.api import DataExtractor, StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
