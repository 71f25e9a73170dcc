"""`from statekeeper.extractor import DataExtractor`: the import path of the first version of the Python API."""

from statekeeper.api import DataExtractor, StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
