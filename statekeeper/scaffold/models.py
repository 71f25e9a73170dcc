"""The file of pydantic models for drafted tables, as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from statekeeper.scaffold.fields import FieldDraft, draft_field, text
from statekeeper.scaffold.names import class_names, field_names
from statekeeper.scaffold.tables import TableDraft

_WIDTH = 120
_WORD = re.compile(r"\b[A-Za-z]+\b")
_IMPORTS = (
    ("datetime", ("date", "time")),
    ("decimal", ("Decimal",)),
    ("typing", ("Annotated", "Literal")),
    ("uuid", ("UUID",)),
)
_PYDANTIC = ("AwareDatetime", "BaseModel", "ConfigDict", "Field", "NaiveDatetime")


def classes_of(tables: Sequence[TableDraft]) -> dict[int, str]:
    """A class name for each table that can be extracted as it is, by its index.

    It is made from the table's name, prefixed with the schema's if two tables share one.
    """
    names = [table.table_name for table in tables]
    labels = [
        f"{table.schema_name}_{name}" if names.count(name) > 1 else name
        for table, name in zip(tables, names, strict=True)
    ]
    good = [index for index, table in enumerate(tables) if not table.reasons]
    classes = class_names(labels[index] for index in good)
    return {index: classes[labels[index]] for index in good}


def models_text(tables: Sequence[tuple[str, TableDraft]], *, database: str) -> str:
    """A Python file with a model per table; `tables` pairs class names and tables.

    If more columns equal their field's name in upper case (as Oracle's do) than exactly, the models declare that once.
    """
    names = {name: field_names(column.name for column in table.columns) for name, table in tables}
    pairs = [pair for fields in names.values() for pair in fields.items()]
    is_upper = sum(column == name.upper() for column, name in pairs) > sum(column == name for column, name in pairs)
    classes = [_class(name, table, names[name], is_upper=is_upper) for name, table in tables]
    body = "\n\n\n".join([_row_class(is_upper=is_upper), *classes])
    title = f'"""The tables of {_in_docstring(database)}, written by statekeeper from its dictionary; yours to edit.'
    about = 'A field takes exactly the declared type; `| None` says that a column may be NULL.\n"""'
    return f"{title}\n\n{about}\n\n{_imports(body)}\n\n\n{body}\n"


def _row_class(*, is_upper: bool) -> str:
    upper = ", alias_generator=str.upper" if is_upper else ""
    about = "Fields are named as the columns, in lower case." if is_upper else "What all rows have in common."
    return (
        f'class Row(BaseModel):\n    """{about}"""\n\n    model_config = ConfigDict(strict=True, extra="forbid"{upper})'
    )


def _class(name: str, table: TableDraft, names: dict[str, str], *, is_upper: bool) -> str:
    lines = [f"class {name}(Row):", f'    """{_in_docstring(table.label)}."""', ""]
    for column in table.columns:
        field = draft_field(column)
        assert field is not None, "a table with a column that cannot be held is left out"
        lines.extend(_field(column.name, names[column.name], field, is_upper=is_upper))
    return "\n".join(lines)


def _field(column: str, name: str, field: FieldDraft, *, is_upper: bool) -> list[str]:
    by_itself = name.upper() if is_upper else name
    annotation = field.annotation(alias=None if by_itself == column else column)
    note = [] if field.note is None else [f"    # {field.note}"]
    line = f"    {name}: {annotation}"
    return [*note, line] if len(line) <= _WIDTH else [*note, f"    {name}: (", f"        {annotation}", "    )"]


def _imports(body: str) -> str:
    code = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith(("#", '"""')))
    annotations = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', "", code)
    words = set(_WORD.findall(re.sub(r"^ +\w+:(?!\w)", "", annotations, flags=re.MULTILINE)))
    standard = [
        f"from {module} import {', '.join(used)}"
        for module, names in _IMPORTS
        if (used := [name for name in names if name in words])
    ]
    pydantic = f"from pydantic import {', '.join(name for name in _PYDANTIC if name in words)}"
    return "\n".join([*standard, "", pydantic] if standard else [pydantic])


def _in_docstring(name: str) -> str:
    return text(name)[1:-1].replace('"', "'").replace("\\", "/")
