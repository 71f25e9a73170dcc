"""Parsing: Oracle's SQL to a syntax tree, and the bind variables in it.

sqlglot knows the grammar. Its own idea of functions is switched off, so that every function arrives by the name that
was written; positional binds `:1` become names first, because sqlglot takes only those.
"""

import re

import sqlglot
from sqlglot import exp
from sqlglot.dialects.oracle import Oracle

from tests.oracle_server.database.errors import OracleError

_PIECES = re.compile(
    r"(?P<quoted>[nN]?[qQ]'\[.*?\]'|[nN]?[qQ]'\{.*?\}'|[nN]?[qQ]'\(.*?\)'|'(?:[^']|'')*'|\"[^\"]*\")"
    r"|(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|:(?P<bind>[A-Za-z0-9_$#]+|\"[^\"]+\")"
    r"|(?P<negative>NUMBER\s*\(\s*(?P<precision>\d+|\*)\s*,\s*-\s*(?P<scale>\d+)\s*\))"
    r"|(?P<word>[A-Z_][A-Z0-9_$#]*)"
    r"|(?P<other>.)",
    re.DOTALL | re.IGNORECASE,
)
_SERIALIZED = re.compile(
    r"\b(?:(?:JSON|VECTOR)_SERIALIZE|XMLSERIALIZE)\s*\(\s*(?:CONTENT\s+)?"
    r"((?:\w+\.)?(?:\"[^\"]*\"|\w+))\s+(?:RETURNING|AS)\s+CLOB(?:\s+ERROR\s+ON\s+ERROR)?\s*\)",
    re.IGNORECASE,
)
"""What sqlglot has no grammar for; such values are kept as their texts here."""
_LINKED = re.compile(r'"([^"]*)"@((?:"[^"]*"\.)*"[^"]*")')
"""A quoted name in another database, which becomes one name: sqlglot takes a link only without quotes."""
TYPE_NAMES = {  # types that sqlglot would take for others, and the names under which they pass it
    "BINARY_FLOAT": "ORA_BINARY_FLOAT", "BINARY_DOUBLE": "ORA_BINARY_DOUBLE",
}  # fmt: skip


class PlainOracle(Oracle):
    """Oracle's grammar without sqlglot's functions."""

    class Parser(Oracle.Parser):
        FUNCTIONS = {}  # noqa: RUF012  (the shape that sqlglot wants)


def number_binds(sql: str) -> tuple[str, list[str]]:
    """The statement with binds b0, b1, ... in the order of their places, and the names that stood there."""
    names: list[str] = []
    out: list[str] = []
    for piece in _PIECES.finditer(sql):
        name = piece["bind"]
        if name is None:
            comment = piece["comment"]
            out.append(" " if comment and not comment.startswith("/*+") else piece[0])
            continue
        out.append(f":b{len(names)}")
        names.append(name.strip('"') if name.startswith('"') else name.upper())
    return "".join(out), names


def _passed(piece: re.Match[str]) -> str:
    """A piece of a statement under names that sqlglot lets through."""
    if piece["negative"]:
        return f"ORA_NUMBER_{piece['precision'].replace('*', '38')}_{piece['scale']}"
    return TYPE_NAMES.get(piece[0].upper(), piece[0])


def type_text(node: exp.Expression) -> str:
    """The declaration that stood in a CAST."""
    said = node.sql(dialect="oracle").upper()
    if said.startswith("ORA_NUMBER_"):
        precision, scale = said.removeprefix("ORA_NUMBER_").split("_")
        return f"NUMBER({precision},-{scale})"
    return said.removeprefix("ORA_").replace("TIMESTAMPLTZ", "TIMESTAMP WITH LOCAL TIME ZONE")


def parse(sql: str) -> exp.Expression:
    """One statement; ORA-00900 where it is not one that the grammar knows."""
    try:
        sql = _LINKED.sub(lambda found: f'"{found[1]}@{found[2].replace(chr(34), "")}"', sql)
        parsed = sqlglot.parse(_PIECES.sub(_passed, _SERIALIZED.sub(r"TO_CLOB(\1)", sql)), read=PlainOracle)
    except sqlglot.errors.SqlglotError as reason:
        raise OracleError(900, text=f"invalid SQL statement: {str(reason)[:300]}") from reason
    if len(parsed) != 1 or parsed[0] is None:
        raise OracleError(933)
    return parsed[0]


def name_of(identifier: exp.Expression | None) -> str:
    """An identifier as the dictionary spells it: upper case unless it was quoted."""
    if identifier is None:
        return ""
    text = str(identifier.name)
    return text if identifier.args.get("quoted") else text.upper()
