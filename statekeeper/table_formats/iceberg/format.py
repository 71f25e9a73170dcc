"""Iceberg tables, read and committed by pyiceberg. Nothing of their metadata is written by hand.

A catalog knows which version of a table is the current one. The table's files lie in the folder of its extractions; its
metadata lies there too, in `metadata/`, or where the catalog wants it.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, IcebergType, NestedField

from statekeeper.errors import DataError, StateDamaged, StorageError, brief
from statekeeper.table_formats.iceberg.catalog import (
    ensure_namespace,
    errors,
    identifier_of,
    load_table,
    location_of,
    open_catalog,
    text_of,
)
from statekeeper.table_formats.iceberg.names import PROPERTY
from statekeeper.table_formats.iceberg.options import address_of
from statekeeper.table_formats.iceberg.types import iceberg_type, is_read_as, why_unsupported
from statekeeper.table_formats.iceberg.version import IcebergVersion
from statekeeper.table_formats.protocol import PARTITION, Definition, LakeTable, TableFormat, TablePlace

FOLDER = "statekeeper.folder"
"""The property of a table that names the folder of its files."""
_PARTITION_ID = 1000
"""Iceberg's number of the first partition field."""
_PROPERTIES = {
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
}
"""What keeps the metadata of a table small that gets a commit every day."""


class IcebergFormat(TableFormat):
    """The format `iceberg`."""

    def why_unsupported(self, column: pa.Field) -> str | None:
        return why_unsupported(column.type)

    def is_read_as(self, kind: pa.DataType, column: pa.DataType) -> bool:
        stored = iceberg_type(column)
        return stored is not None and is_read_as(kind, stored)

    def can_widen(self, column: pa.DataType, kind: pa.DataType) -> bool:
        narrow, wide = iceberg_type(column), iceberg_type(kind)
        return narrow is not None and wide is not None and is_read_as(column, wide)

    def find(self, place: TablePlace) -> LakeTable | None:
        return _found(place, open_catalog(place))

    def create(self, place: TablePlace, definition: Definition) -> LakeTable:
        catalog = open_catalog(place)
        try:
            with errors(place, "create"):
                _create(place, catalog, definition)
        except StorageError:
            if (found := _found(place, catalog)) is not None:  # an answer was lost
                return found
            raise
        found = _found(place, catalog)
        if found is None:
            raise StorageError(
                f"{place.name}: {text_of(place)} was created, and is not in its catalog",
                hint="run again; what was extracted is kept",
            )
        return found


def _found(place: TablePlace, catalog: Catalog) -> IcebergVersion | None:
    try:
        with errors(place, "read", besides=(NoSuchTableError, NoSuchNamespaceError, FileNotFoundError, ValueError)):
            table = load_table(place, catalog)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
    except (FileNotFoundError, ValueError) as error:
        raise StateDamaged(
            f"{place.name}: {text_of(place)} is in its catalog, and its metadata cannot be read: {brief(error)}",
            hint="restore the metadata file, or drop the table from its catalog",
        ) from error
    folder = address_of(place.folder, place.storage)
    if table.properties.get(FOLDER, folder) != folder:
        raise DataError(
            f"{place.name}: {text_of(place)} has its files in {table.properties[FOLDER]}, and this extraction's lie in "
            f"{folder}",
            hint="write another `namespace` in `output.catalog`",
        )
    return IcebergVersion(place, table)


def _create(place: TablePlace, catalog: Catalog, definition: Definition) -> None:
    identifier = identifier_of(place)
    schema, spec = _schema_of(place, definition)
    ensure_namespace(place, catalog)
    comment = {"comment": definition.comment} if definition.comment else {}
    own = {FOLDER: address_of(place.folder, place.storage), PROPERTY: schema.name_mapping.model_dump_json()}
    properties = _PROPERTIES | comment | dict(definition.properties) | own
    try:
        catalog.create_table(identifier, schema, location_of(place), spec, properties=properties)
    except TableAlreadyExistsError:
        return


def _schema_of(place: TablePlace, definition: Definition) -> tuple[Schema, PartitionSpec]:
    fields = [
        NestedField(number, column.name, _type_of(place, column), doc=definition.comments.get(column.name))
        for number, column in enumerate(definition.columns, 1)
    ]
    if not definition.is_by_date:
        return Schema(*fields), UNPARTITIONED_PARTITION_SPEC
    if PARTITION in {field.name.casefold() for field in fields}:
        raise DataError(
            f"{place.name}: the table has a column {PARTITION} of its own, which is the name of the partition column",
            hint="select the column under another name, or write: replace",
        )
    day = NestedField(len(fields) + 1, PARTITION, DateType(), doc="the date of the extraction")
    return Schema(*fields, day), PartitionSpec(
        PartitionField(day.field_id, _PARTITION_ID, IdentityTransform(), PARTITION)
    )


def _type_of(place: TablePlace, column: pa.Field) -> IcebergType:
    kind = iceberg_type(column.type)
    if kind is None:
        raise DataError(
            f"{place.name}: the column {column.name} cannot be in {text_of(place)}: {why_unsupported(column.type)}"
        )
    return kind


FORMAT = IcebergFormat()
