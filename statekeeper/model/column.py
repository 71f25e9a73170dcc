"""A column, and a whole relation, as a source describes them."""

from __future__ import annotations

from pydantic import Field

from statekeeper.model.base import Frozen, StoredValue


class SourceColumn(Frozen):
    """A column as the database describes it.

    `read_type` is an Arrow type, in the text form of `parquet.types`, that holds every value of the declared
    `database_type`; None where no such type exists, and `refusal` then says what to declare or select instead.
    `alternatives` are further types that the source can deliver exactly on request (checked value by value).
    """

    name: str
    database_type: str
    read_type: str | None
    is_nullable: bool = True
    alternatives: tuple[str, ...] = ()
    refusal: str | None = None


class RelationComments(StoredValue):
    """What a database's dictionary says about a relation for people."""

    table: str | None = None
    columns: dict[str, str] = Field(default_factory=dict, description="column name to its comment")
    primary_key: tuple[str, ...] = Field(default=(), description="the columns of the primary key, in its order")

    @property
    def text(self) -> str | None:
        """The comment of the relation, with its primary key; None if there is neither."""
        key = f"Primary key: {', '.join(self.primary_key)}." if self.primary_key else ""
        return " ".join(filter(None, (self.table, key))) or None

    def with_columns(self, comments: dict[str, str]) -> RelationComments:
        """With other comments of some columns."""
        return self.model_copy(update={"columns": self.columns | comments})
