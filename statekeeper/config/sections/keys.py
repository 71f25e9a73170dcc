"""`unique:` and `references:` of a table, as written in the file."""

from __future__ import annotations

from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from statekeeper.config.sections.section import Name, Section, refusal


def _different(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns):
        raise refusal("columns that differ from each other")
    return columns


ColumnNames: TypeAlias = Name | Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_different)]
"""One column, or a list of them."""


def as_columns(written: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns as a tuple, in order."""
    return (written,) if isinstance(written, str) else written


class ReferenceEntry(Section):
    """Columns whose values must occur in a row of another table of the run."""

    columns: ColumnNames = Field(description="the referencing columns")
    table: Name = Field(
        description="the referenced table: a table_name, schema.table, source.schema.table or path_name"
    )
    to: ColumnNames | None = Field(
        default=None, description="its columns, in the same order; by default, of the same names"
    )

    @property
    def pair(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The referencing and the referenced columns."""
        own = as_columns(self.columns)
        return own, own if self.to is None else as_columns(self.to)

    @model_validator(mode="after")
    def _column_by_column(self) -> Self:
        own, theirs = self.pair
        if len(own) != len(theirs):
            raise refusal(f"as many columns in to as in columns, {len(own)}")
        return self
