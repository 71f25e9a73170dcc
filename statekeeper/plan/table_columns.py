"""Whether a plan's columns can be in the table that the extraction is published into: refused before a row is read.

New columns are added to the table at its commit, and types are widened where the format can. A column that the table
has and the plan lacks is NULL in new rows.
Everything else that differs is refused by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import PlanError
from statekeeper.model.column import RelationComments
from statekeeper.parquet.types import arrow_schema, parse_type
from statekeeper.sources.protocol import DocumentedSession, SourceSession
from statekeeper.table_formats.registry import table_format

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

    from statekeeper.model.plan import PlannedColumn
    from statekeeper.runtime.published_table import Columns


def check_table_columns(
    config: ExtractionConfig, columns: tuple[PlannedColumn, ...], table: Columns | None
) -> tuple[str, ...]:
    """Notes on how the table's columns change; `table` are its columns, None if there is no table yet.

    Raises:
        PlanError: a column cannot be in the table; every one is named.
        ConfigError: the library of the format is not installed.
    """
    if not config.is_in_table:
        return ()
    schema = arrow_schema(columns)
    problems = [*_unsupported(config, schema), *_equal_names(schema), *_changed(config, schema, table or ())]
    if problems:
        raise PlanError(
            f"these columns cannot be in a {config.format} table: {'; '.join(problems)}",
            hint="give them other names or types: in a custom_query, or by the schema",
        )
    return tuple(_notes(config, schema, table))


def comments_for_table(
    config: ExtractionConfig,
    session: SourceSession,
    model: type[BaseModel] | None,
    columns: tuple[PlannedColumn, ...],
) -> RelationComments | None:
    """What the table is told about itself: the source's comments, and over them those of the schema's fields.

    None without a table. Raises SourceError: the source's dictionary cannot be read.
    """
    if not config.is_in_table:
        return None
    found = session.comments(config.relation) if isinstance(session, DocumentedSession) else RelationComments()
    described = {
        str(field.alias or name).casefold(): field.description
        for name, field in (model.model_fields.items() if model else ())
        if field.description
    }
    own = {column.name: described[key] for column in columns if (key := column.name.casefold()) in described}
    return found.with_columns(own)


def _unsupported(config: ExtractionConfig, schema: pa.Schema) -> Iterator[str]:
    kind = table_format(config.format)
    for field in schema:
        if reason := kind.why_unsupported(field):
            yield f"{field.name} ({field.type}): {reason}"


def _equal_names(schema: pa.Schema) -> Iterator[str]:
    times = Counter(name.casefold() for name in schema.names)
    for name, number in times.items():
        if number > 1:
            both = " and ".join(each for each in schema.names if each.casefold() == name)
            yield f"{both} differ only in upper and lower case, which engines do not distinguish"


def _changed(config: ExtractionConfig, schema: pa.Schema, table: Columns) -> Iterator[str]:
    known = {name.casefold(): (name, kind) for name, kind in table}
    for field in schema:
        name, kind = known.get(field.name.casefold(), (field.name, str(field.type)))
        if name != field.name:
            yield f"{field.name} is {name} in the table"
        elif not _fits(config, field.type, kind) and not _is_widened(config, field.type, kind):
            yield f"{field.name} ({field.type}) is {kind} in the table"


def _fits(config: ExtractionConfig, kind: pa.DataType, column: str) -> bool:
    of_table = _type_of(column)
    return of_table is not None and table_format(config.format).is_read_as(kind, of_table)


def _is_widened(config: ExtractionConfig, kind: pa.DataType, column: str) -> bool:
    of_table = _type_of(column)
    return of_table is not None and table_format(config.format).can_widen(of_table, kind)


def _type_of(column: str) -> pa.DataType | None:
    """The type of a table's column; None if it is one that only other programs write."""
    try:
        return parse_type(column)
    except ValueError:
        return None


def _notes(config: ExtractionConfig, schema: pa.Schema, table: Columns | None) -> Iterator[str]:
    if table is None:
        return
    here, there = {name.casefold() for name in schema.names}, {name.casefold() for name, _ in table}
    if new := [name for name in schema.names if name.casefold() not in there]:
        yield f"the table gets new columns, which are NULL in its earlier rows: {', '.join(new)}"
    known = dict(table)
    for field in schema:
        kind = known.get(field.name)
        if kind is not None and not _fits(config, field.type, kind):
            yield f"the table's column {field.name} gets a wider type, {field.type} instead of {kind}"
    if missing := [name for name, _ in table if name.casefold() not in here]:
        yield f"columns of the table that are not read are NULL in new rows: {', '.join(missing)}"
