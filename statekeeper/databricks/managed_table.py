"""A managed table of Unity Catalog with published rows: how it is created, and how each publication is loaded once.

Decides the table's columns and SQL statements. `statekeeper.databricks.load` decides which extraction goes into which
table.

Every row says where it comes from (`Origin`). One statement loads a publication: it replaces the rows of the same
source and run, and Delta commits all of it or nothing. So the rows themselves record what was loaded: a killed load
leaves all of them or none, and a repeated load finds them and does nothing. A forced extraction replaces its earlier
rows in the same way.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from statekeeper.errors import DataError, UsageError
from statekeeper.model.metadata import Metadata

_NOT_IN_A_TABLE_NAME = re.compile(r"[\x00-\x20./\x7f]")
_NEEDS_COLUMN_MAPPING = re.compile(r"[ ,;{}()\n\t=]")


@dataclass(frozen=True)
class Origin:
    """The publication that rows belong to, as columns of their table.

    The columns come first in the table, because Delta keeps statistics only for the first 32 columns, and a load
    searches for the rows of its run.
    """

    source: str
    extraction_date: date
    run_id: str
    snapshot: str
    plan_id: str

    TYPES = {  # noqa: RUF012 - a constant of the class; an annotation would make it a field
        "_source": "string",
        "_extraction_date": "date",
        "_run_id": "string",
        "_snapshot": "string",
        "_plan_id": "string",
    }

    @classmethod
    def of(cls, metadata: Metadata) -> Self:
        """The origin of the rows that a commit record describes."""
        config = metadata.table_config
        day = date.fromisoformat(config.extraction_date)
        return cls(config.source_name, day, metadata.run_id, metadata.snapshot.token, metadata.plan_id)

    @property
    def values(self) -> dict[str, str]:
        """Each column with its value as SQL."""
        day = f"DATE'{self.extraction_date.isoformat()}'"
        values = (literal(self.source), day, *map(literal, (self.run_id, self.snapshot, self.plan_id)))
        return dict(zip(self.TYPES, values, strict=True))

    @property
    def of_the_run(self) -> str:
        """The condition for all rows of this source and run, from any publication."""
        return f"_source = {self.values['_source']} AND _run_id = {self.values['_run_id']}"


@dataclass(frozen=True)
class TableName:
    """`catalog.schema.table`, or `schema.table` in the session's catalog."""

    schema: tuple[str, ...]
    table: str

    @classmethod
    def within(cls, into: str, table: str) -> Self:
        """The name of a table in the schema `into`; characters that Unity Catalog does not allow become `_`.

        Raises:
            UsageError: `into` is not the name of a schema.
        """
        parts = tuple(part.strip().strip("`") for part in into.split("."))
        if len(parts) > 2 or not all(parts):
            raise UsageError(
                f"expected a schema as catalog.schema; found {into!r}", hint="`SHOW SCHEMAS IN catalog` lists them"
            )
        return cls(parts, _NOT_IN_A_TABLE_NAME.sub("_", table).lower())

    @property
    def sql(self) -> str:
        return ".".join(map(_quoted, (*self.schema, self.table)))

    def __str__(self) -> str:
        return ".".join((*self.schema, self.table))


@dataclass(frozen=True)
class ManagedTable:
    """A table of a catalog, by its name. `spark` is a classic or Connect session; the class uses only SQL."""

    spark: Any
    name: TableName

    def loaded(self, origin: Origin) -> dict[str, int]:
        """The number of rows that the table has from a source and run, by the plan that published them.

        Raises:
            DataError: the table was not created by a load.
        """
        self._columns()
        query = f"SELECT _plan_id, count(*) FROM {self.name.sql} WHERE {origin.of_the_run} GROUP BY _plan_id"
        return {row[0]: row[1] for row in self.spark.sql(query).collect()}

    def put(self, frame: Any, origin: Origin, *, label: str) -> None:
        """Replace the rows of the same source and run by those of a DataFrame; create the table if it is missing.

        Raises:
            DataError: the table was not created by a load, or has a column of another type.
        """
        fields = _columns_of(frame)
        self._refuse_own_names(fields)
        if not self.exists():
            self._create(fields, label)
        known = self._fitted(fields)
        given = {name.lower(): name for name in fields}
        values = origin.values | {
            name: _quoted(given[name.lower()]) if name.lower() in given else f"CAST(NULL AS {known[name]})"
            for name in known
            if name not in Origin.TYPES
        }
        view = f"statekeeper_load_{secrets.token_hex(8)}"
        frame.selectExpr(*(f"{values[name]} AS {_quoted(name)}" for name in known)).createOrReplaceTempView(view)
        try:
            into = f"INSERT INTO {self.name.sql} REPLACE WHERE {origin.of_the_run}"
            self.spark.sql(f"{into} SELECT {', '.join(map(_quoted, known))} FROM {view}").collect()
        finally:
            with suppress(Exception):  # the session may be gone, together with the view
                self.spark.catalog.dropTempView(view)

    def exists(self) -> bool:
        """Whether the table exists."""
        return bool(self.spark.catalog.tableExists(self.name.sql))

    def _create(self, fields: dict[str, str], label: str) -> None:
        columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in (Origin.TYPES | fields).items())
        properties = _property_list({"statekeeper.table": label} | _needed_for(fields))
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name.sql} ({columns}) USING delta TBLPROPERTIES ({properties})"
        ).collect()

    def _fitted(self, fields: dict[str, str]) -> dict[str, str]:
        """Add missing columns of `fields` to the table; returns its columns with their types, in order."""
        known = self._columns()
        kinds = {name.lower(): kind for name, kind in known.items()}
        for name, kind in fields.items():
            if (found := kinds.get(name.lower(), kind)) != kind:
                raise DataError(
                    f"{self.name}: the column {name} is {found}, but the published rows have {kind}",
                    hint=f"change the column's type with ALTER TABLE if {kind} holds its values, or load into another "
                    "schema",
                )
        added = {name: kind for name, kind in fields.items() if name.lower() not in kinds}
        if not added:
            return known
        columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in added.items())
        if needed := _needed_for(added):
            self.spark.sql(f"ALTER TABLE {self.name.sql} SET TBLPROPERTIES ({_property_list(needed)})").collect()
        self.spark.sql(f"ALTER TABLE {self.name.sql} ADD COLUMNS ({columns})").collect()
        return self._columns()

    def _columns(self) -> dict[str, str]:
        """The table's columns with their types, in order. Raises DataError if the table was not created by a load."""
        columns = _columns_of(self.spark.table(self.name.sql))
        if missing := [name for name in Origin.TYPES if name not in columns]:
            raise DataError(
                f"{self.name} was not created by a load: it has no column {missing[0]}",
                hint="load into another schema, or move that table away",
            )
        return columns

    def _refuse_own_names(self, fields: dict[str, str]) -> None:
        if taken := [name for name in fields if name.lower() in Origin.TYPES]:
            raise DataError(
                f"{self.name}: the published rows have a column {taken[0]}, a name that the load needs itself",
                hint="give the column another name in a custom_query",
            )


def _columns_of(frame: Any) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}


def _needed_for(fields: dict[str, str]) -> dict[str, str]:
    """The properties without which Delta refuses these columns."""
    needed = {}
    if any(_NEEDS_COLUMN_MAPPING.search(name) for name in fields):
        needed["delta.columnMapping.mode"] = "name"
    if "timestamp_ntz" in fields.values():  # CREATE TABLE sets it automatically, ADD COLUMNS does not
        needed["delta.feature.timestampNtz"] = "supported"
    return needed


def _property_list(properties: dict[str, str]) -> str:
    return ", ".join(f"{literal(key)} = {literal(value)}" for key, value in properties.items())


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text as SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
