"""The name mapping of a table: which column of the table a column of a file is, since the files have no ids of columns.

Iceberg reads a column of a file that has no ids by the table's property `schema.name-mapping.default`. A column that
is not in it would be read as NULL, so a commit sets what is missing, and refuses a file that would be read wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.name_mapping import NameMapping

from statekeeper.errors import DataError
from statekeeper.table_formats.iceberg.types import is_read_as

PROPERTY = TableProperties.DEFAULT_NAME_MAPPING


@dataclass(frozen=True)
class Names:
    """The names under which files have the columns of a table. `schema` is the table's, `mapping` its name mapping."""

    schema: Schema
    mapping: NameMapping

    @classmethod
    def of(cls, table: Table) -> Names:
        """The names of a table, with the columns that its own mapping lacks."""
        schema, known = table.schema(), table.name_mapping() or NameMapping([])
        names = {name for field in known for name in field.names}
        ids = {field.field_id for field in known}
        missing = [each for each in schema.name_mapping if each.field_id not in ids and not names & set(each.names)]
        return cls(schema, NameMapping([*known, *missing]))

    @property
    def properties(self) -> dict[str, str]:
        """The mapping as a property of the table."""
        return {PROPERTY: self.mapping.model_dump_json()}

    @property
    def ids(self) -> Mapping[str, int]:
        """The id of each column of the table by the names that files have for it."""
        known = {field.field_id for field in self.schema.fields}
        return {
            name: field.field_id
            for field in self.mapping
            for name in field.names
            if field.field_id is not None and field.field_id in known
        }

    def check(self, columns: pa.Schema, where: str) -> None:
        """Refuse a file whose columns a reader of the table would not read exactly. Raises DataError."""
        ids = self.ids
        for column in columns:
            if column.name not in ids:
                raise DataError(
                    f"{where}: the file has a column {column.name}, which the Iceberg table would read as NULL",
                    hint="name the column as the table does, letter case included",
                )
            found = self.schema.find_field(ids[column.name])
            if not is_read_as(column.type, found.field_type):
                raise DataError(
                    f"{where}: the column {column.name} is {column.type} in the file, and {found.field_type} in the "
                    "Iceberg table, which cannot hold it",
                    hint="change the table's column, or declare the type that it has",
                )
