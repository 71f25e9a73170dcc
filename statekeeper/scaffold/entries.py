"""A table's entry of `tables:`, as lines of YAML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from statekeeper.model.table import safe_name
from statekeeper.scaffold.fields import FieldDraft, draft_field
from statekeeper.scaffold.tables import TableDraft


def scalar(value: str) -> str:
    """Any text as a YAML scalar; `${` stays literal."""
    return key_text(value.replace("${", "$${"))


def key_text(value: str) -> str:
    """Text as a key of a YAML mapping, where references are not resolved."""
    dumped: str = yaml.safe_dump(value, allow_unicode=True, width=float("inf"))
    plain = dumped.removesuffix("\n").removesuffix("\n...")
    return plain if "\n" not in plain else yaml.safe_dump(value, default_style='"', width=float("inf")).strip()


def entry(table: TableDraft, schema: Sequence[str], *, path_name: str | None = None) -> str:
    """The entry below `tables:`; commented out, with the reasons, if the table cannot be extracted as it is.

    Args:
        table: the described table.
        schema: the lines with its schema.
        path_name: the name of its folder, if that is not the table's.
    """
    lines = [f"{key}: {scalar(value)}" for key, value in _identity(table, path_name).items() if value is not None]
    if table.relation.query is not None:  # its references are resolved by now, and may contain secrets
        lines.append("# custom_query: as it is in the configuration")
    lines = [f"{'- ' if number == 0 else '  '}{line}" for number, line in enumerate([*lines, *schema])]
    if table.reasons:
        why = ["This table cannot be extracted as it is:", *(f"  {reason}" for reason in table.reasons)]
        lines = [f"# {line}" for line in (*why, *lines)]
    return "".join(f"  {line}\n" for line in lines)


def columns_lines(table: TableDraft) -> list[str]:
    """The inline schema: `columns:`, with a rule per column."""
    lines = ["columns:"]
    for column in table.columns:
        field = draft_field(column)
        assert field is not None, "a table with a column that cannot be held is left out"
        lines += [f"  # {field.note}"] if field.note else []
        lines.append(f"  {key_text(column.name)}: {_rule(field)}")
    return lines


def path_names(tables: Sequence[TableDraft]) -> dict[int, str]:
    """A `path_name`, by index, for each table whose name another one has on a case-insensitive file system."""
    taken: set[str] = set()
    found: dict[int, str] = {}
    for index, table in enumerate(tables):
        name = table.table_name
        plain = name.strip('"') or name  # quotes are Oracle's spelling, not part of the name
        chosen, number = plain, 2
        while safe_name(chosen).casefold() in taken:
            schema = table.schema_name
            chosen = f"{schema}_{plain}" if schema and number == 2 else f"{plain}_{number}"
            number += 1
        taken.add(safe_name(chosen).casefold())
        if chosen != name:
            found[index] = chosen
    return found


def _identity(table: TableDraft, path_name: str | None) -> dict[str, str | None]:
    entry_of = table.configured
    if entry_of is None:
        return {"schema_name": table.schema_name, "table_name": table.table_name, "path_name": path_name}
    return {
        "source_name": entry_of.source_name,
        "schema_name": entry_of.schema_name,
        "table_name": entry_of.table_name,
        "path_name": entry_of.path_name if entry_of.path_name != entry_of.table_name else None,
    }


def _rule(field: FieldDraft) -> str:
    rule = field.rule().model_dump(mode="json", exclude_unset=True)
    if "enum" in rule:
        rule["enum"] = [member.replace("${", "$${") for member in rule["enum"]]
    dumped: str = yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return dumped.strip()
