"""Schemas for an existing configuration: a file of pydantic models, or entries with inline columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from pydantic import Field

from statekeeper.model.base import Frozen
from statekeeper.scaffold.entries import columns_lines, entry, path_names
from statekeeper.scaffold.models import classes_of, models_text
from statekeeper.scaffold.tables import LeftOut, TableDraft, left_out, require_any


class SchemaForm(StrEnum):
    """How schemas are written."""

    MODELS = "models"
    """Python: a pydantic model for each table."""
    COLUMNS = "columns"
    """YAML: an entry of `tables:` for each table, with inline `columns:`."""


class InferredTable(Frozen):
    """A table with a schema; `model` is its class's name, None for inline columns."""

    table: str
    model: str | None


class Inference(Frozen):
    """Schemas as text, and their tables. `out` is the file with the text, None if none was written."""

    out: str | None = None
    form: SchemaForm
    tables: tuple[InferredTable, ...]
    left_out: tuple[LeftOut, ...]
    text: str = Field(description="Python or YAML, by `form`")

    @property
    def exit_code(self) -> int:
        """1 if a table has no schema."""
        return int(bool(self.left_out))

    def written_to(self, out: str) -> Inference:
        """The same, with its text written to a file."""
        return self.model_copy(update={"out": out})


def infer(tables: Sequence[TableDraft], *, database: str, form: SchemaForm) -> Inference:
    """The schemas of described tables.

    Args:
        tables: as the database describes them.
        database: its name in the text.
        form: models or inline columns.

    Raises:
        PlanError: no table can be extracted as it is.
    """
    require_any(tables)
    models = classes_of(tables)
    match form:
        case SchemaForm.MODELS:
            text = models_text([(name, tables[index]) for index, name in models.items()], database=database)
            text += "".join(_why_left_out(left) for left in left_out(tables))
        case SchemaForm.COLUMNS:
            models = dict.fromkeys(models, "")
            text = _columns_text(tables, database=database)
        case _:
            assert_never(form)
    return Inference(
        form=form,
        tables=tuple(InferredTable(table=tables[i].label, model=name or None) for i, name in models.items()),
        left_out=left_out(tables),
        text=text,
    )


def _columns_text(tables: Sequence[TableDraft], *, database: str) -> str:
    name = " ".join(database.split())
    head = (
        f"# The tables of {name}, written by statekeeper from its dictionary; yours to edit.\n"
        f"# A column takes exactly the declared type; `nullable` says that it may be NULL.\n"
    )
    paths = path_names(tables)
    entries = (
        entry(table, [] if table.reasons else columns_lines(table), path_name=paths.get(index))
        for index, table in enumerate(tables)
    )
    return head + "tables:\n" + "\n".join(entries)


def _why_left_out(left: LeftOut) -> str:
    why = "".join(f"#   {reason}\n" for reason in left.reasons)
    return f"\n# {' '.join(left.table.split())} cannot be extracted as it is:\n{why}"
