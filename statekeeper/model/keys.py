"""The keys of a table: unique columns, and references to rows of another table."""

from __future__ import annotations

from statekeeper.model.base import Frozen
from statekeeper.model.table import Relation, TableRef

UNIQUE = "unique"
REFERENCES = "references"
"""The kinds of keys, as named in configuration and findings."""


class Reference(Frozen):
    """The values of `columns` must occur in `parent_columns` of some row of `parent`, column by column.

    `parent_relation` is what is selected from the parent, `parent_source` a digest of where: if either changes, the
    parent's rows differ, and the table is checked again.
    """

    columns: tuple[str, ...]
    parent: TableRef
    parent_columns: tuple[str, ...]
    parent_relation: Relation
    parent_source: str

    @property
    def label(self) -> str:
        """How messages name it: `CUSTOMER_ID references ora.SALES.CUSTOMERS (ID)`."""
        return f"{', '.join(self.columns)} references {self.target}"

    @property
    def target(self) -> str:
        """The referenced columns: `ora.SALES.CUSTOMERS (ID)`."""
        return f"{self.parent.key} ({', '.join(self.parent_columns)})"


class Keys(Frozen):
    """All keys of one table."""

    unique: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unique or self.references)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is checked, one line per key."""
        return (
            *(f"{', '.join(columns)} must be unique" for columns in self.unique),
            *(f"{reference.label}, checked when both are extracted" for reference in self.references),
        )
