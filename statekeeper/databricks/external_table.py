"""A table of Unity Catalog whose data lie where a run has written them: a Delta table in an object store.

The catalog gets the table's name and its address, nothing else: the columns, their comments, and which rows there are
come from the table's own log. Nothing is copied, and an extraction that commits later is in the catalog at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from statekeeper.databricks.managed_table import TableName, literal
from statekeeper.engines.spark.session import first_line
from statekeeper.errors import DataError

_LOG = logging.getLogger("statekeeper.load")
_LOCATION = "Location"


@dataclass(frozen=True)
class ExternalTable:
    """A table of a catalog, by its name, and the `address` of its data. `spark` is a classic or Connect session."""

    spark: Any
    name: TableName
    address: str

    def register(self) -> bool:
        """Create the table in the catalog if it is missing; returns whether it was.

        Raises:
            DataError: a table of this name has other data.
        """
        is_new = not self.spark.catalog.tableExists(self.name.sql)
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name.sql} USING DELTA LOCATION {literal(self.address)}"
        ).collect()
        found = self._location()
        if found.rstrip("/") != self.address.rstrip("/"):
            raise DataError(
                f"{self.name} has its data in {found or 'a place of its own'}, not in {self.address}",
                hint="load into another schema, or move that table away",
            )
        return is_new

    def tag(self, tags: dict[str, str]) -> None:
        """Set tags, where the catalog has such; where it has not, or this is not allowed, they are left out."""
        listed = ", ".join(f"{literal(key)} = {literal(value)}" for key, value in tags.items())
        try:
            self.spark.sql(f"ALTER TABLE {self.name.sql} SET TAGS ({listed})").collect()
        except Exception as error:  # noqa: BLE001 - pyspark's own, py4j's, grpc's: tags are no part of the data
            _LOG.info("%s has no tags: %s", self.name, first_line(error))

    def _location(self) -> str:
        rows = self.spark.sql(f"DESCRIBE TABLE EXTENDED {self.name.sql}").collect()
        return next((str(row[1]) for row in reversed(rows) if row[0] == _LOCATION), "")
