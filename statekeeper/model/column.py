"""A column as its source describes it."""

from __future__ import annotations

from statekeeper.model.base import Frozen


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
