"""The import path of older programs; the classes are those of `statekeeper.api`."""

from statekeeper.extractor import DataExtractor, StatefulDataExtractor

__all__ = ["DataExtractor", "StatefulDataExtractor"]
