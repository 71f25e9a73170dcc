"""Access: the path by which Oracle's optimizer would access the rows of a statement's table.

Only what decides about the tables of a warehouse: a range of ROWIDs or of an indexed column, or all of the table. Terms
that are joined by OR, of which one is no range, leave nothing but the whole table. A B-tree holds a row without a value
only if another part of its key has one.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from tests.oracle_server.database.tables import Table, View
from tests.oracle_server.sql.parsing import name_of
from tests.oracle_server.sql.queries import anded

FULL, BY_INDEX, BY_ROWID = "TABLE ACCESS FULL", "INDEX RANGE SCAN", "TABLE ACCESS BY ROWID RANGE"
SAMPLED = "TABLE ACCESS SAMPLE"
_RANGES = exp.GT | exp.GTE | exp.LT | exp.LTE | exp.EQ | exp.Between


def access_path(tree: exp.Expression, find: Callable[[str | None, str], Table | View | None]) -> str:
    """The way to the table that a query is from; empty for a dictionary view, a view, or several tables."""
    tables = list(tree.find_all(exp.Table))
    if len(tables) != 1:
        return ""
    (node,) = tables
    table = find(name_of(node.args.get("db")) or None, name_of(node.this))
    if not isinstance(table, Table):
        return ""
    if node.args.get("sample") is not None:
        return SAMPLED
    select = node.find_ancestor(exp.Select)
    where = select.args.get("where") if select is not None else None
    terms = anded(where.this) if where is not None else []
    bounded = {name_of(term.this.this) for term in terms if isinstance(term, _RANGES) and _is_column(term.this)}
    if "ROWID" in bounded:
        return BY_ROWID
    tests = [term.unnest() for term in terms]
    missing = {name_of(test.this.this) for test in tests if isinstance(test, exp.Is) and _is_column(test.this)}
    return BY_INDEX if bounded & table.indexed or missing & table.indexed_with_nulls else FULL


def sorted_by(tree: exp.Expression) -> exp.Expression | None:
    """The query whose rows a window function of the statement has to sort."""
    window = tree.find(exp.Window)
    select = window.find_ancestor(exp.Select) if window is not None else None
    source = select.args["from_"].this if select is not None else None
    return source.this.copy() if isinstance(source, exp.Subquery) else None


def _is_column(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column | exp.Pseudocolumn)
