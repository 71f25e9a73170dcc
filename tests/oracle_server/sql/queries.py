"""Queries: SELECT and what combines it, translated to DuckDB with the Oracle type of every column.

Tables, columns and aliases never keep their names behind: a source is s1, s2, ..., an output k1, k2, ..., so quoted,
mixed-case and reserved names need no care.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.oracle_server.database import types
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.functions import Functions
from tests.oracle_server.sql.parsing import name_of
from tests.oracle_server.sql.typed import Scope, Source, Typed

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

_PSEUDO = "rid"


@dataclass(frozen=True)
class Output:
    """A column of a query's result."""

    name: str
    typed: Typed


@dataclass(frozen=True)
class Query:
    """A DuckDB query whose columns are k1, k2, ... in this order."""

    sql: str
    columns: list[Output]


class Translator:
    """Translates one statement; `bind_value` gives the constants of its bind variables."""

    def __init__(self, session: Session, bind_value: Callable[[int], Typed], default_scn: int | None = None) -> None:
        self.session = session
        self.functions = Functions(session)
        self.tables_read: list[str] = []
        self.scns: list[int] = []
        self.first_scn: int | None = None  # at which the first table was read
        self.trusted = False  # within a view, its owner's rights count
        self._bind_value = bind_value
        self._default_scn = default_scn
        self._made = 0
        self._common: list[dict[str, Query]] = []

    def bind(self, name: str) -> Typed:
        return self._bind_value(int(name.removeprefix("b")))

    def _alias(self) -> str:
        self._made += 1
        return f"s{self._made}"

    def subquery(self, node: exp.Expression, scope: Scope | None) -> Query:
        return self.query(node, scope)

    def query(self, node: exp.Expression, parent: Scope | None = None) -> Query:
        """Any query expression."""
        if isinstance(node, exp.Subquery):
            inner = self.query(node.this, parent)
            return self._finish(inner, node, parent)
        with_ = node.args.get("with_")
        if with_ is not None:
            self._common.append({})
            for common in with_.expressions:
                self._common[-1][name_of(common.args["alias"].this)] = self._renamed(
                    self.query(common.this, parent), common.args["alias"]
                )
        try:
            if isinstance(node, exp.SetOperation):
                return self._combined(node, parent)
            if isinstance(node, exp.Select):
                return _Selection(self, node, parent).translate()
        finally:
            if with_ is not None:
                self._common.pop()
        raise unsupported(f"{type(node).__name__} as a query")

    @staticmethod
    def _renamed(query: Query, alias: exp.Expression) -> Query:
        names = [name_of(column) for column in alias.args.get("columns") or []]
        if not names:
            return query
        outputs = [replace(output, name=name) for output, name in zip(query.columns, names, strict=True)]
        return Query(query.sql, outputs)

    def _combined(self, node: exp.SetOperation, parent: Scope | None) -> Query:
        left, right = self.query(node.this, parent), self.query(node.expression, parent)
        word = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}[type(node)]
        if len(left.columns) != len(right.columns):
            raise OracleError(1789, text="query block has incorrect number of result columns")
        see = Expressions(self, Scope(parent=parent))
        sides: list[list[str]] = [[], []]
        outputs = []
        for number, (one, other) in enumerate(zip(left.columns, right.columns, strict=True), 1):
            unified, kind = see.unify([replace(one.typed, sql=f"k{number}"), replace(other.typed, sql=f"k{number}")])
            for side, sql in zip(sides, unified, strict=True):
                side.append(f"{sql} AS k{number}")
            outputs.append(
                Output(one.name, Typed(f"k{number}", kind, declared=one.typed.declared and other.typed.declared))
            )
        all_ = "" if node.args.get("distinct") else " ALL"
        pair = [
            f"SELECT {', '.join(side)} FROM ({query.sql})" for side, query in zip(sides, (left, right), strict=True)
        ]
        return self._finish(Query(f"{pair[0]} {word}{all_} {pair[1]}", outputs), node, parent)

    def _finish(self, query: Query, node: exp.Expression, parent: Scope | None) -> Query:
        """ORDER BY, OFFSET and FETCH of a combination or a bracketed query."""
        order, tail = node.args.get("order"), limits(self, node)
        if order is None and not tail:
            return query
        scope = Scope(parent=parent, outputs={output.name: output.typed for output in query.columns})
        sorting = Expressions(self, scope).order(order) if order is not None else ""
        names = ", ".join(f"k{number + 1}" for number in range(len(query.columns)))
        return Query(f"SELECT {names} FROM ({query.sql}) {sorting}{tail}", query.columns)

    def source(self, node: exp.Expression, scope: Scope) -> tuple[str, Source]:
        """One item of a FROM clause: its SQL, alias included, and what it offers."""
        alias = self._alias()
        named = node.args.get("alias")
        name = name_of(named.this) if named is not None and named.this is not None else ""
        if isinstance(node, exp.Subquery):
            query = self.query(node.this, scope.parent)
            return f"({query.sql}) {alias}", _derived(alias, name, query)
        if isinstance(node, exp.Lateral):
            query = self.query(node.this.this if isinstance(node.this, exp.Subquery) else node.this, scope)
            return f"LATERAL ({query.sql}) {alias}", _derived(alias, name, query)
        if not isinstance(node, exp.Table):
            raise unsupported(f"{type(node).__name__} in FROM")
        if isinstance(node.this, exp.Anonymous | exp.Func):
            raise unsupported("table functions")
        table, schema = name_of(node.this), name_of(node.args.get("db")) or None
        if schema is None:
            for level in reversed(self._common):
                if table in level:
                    return f"({level[table].sql}) {alias}", _derived(alias, name or table, level[table])
        return self.session.table_source(self, node, schema, table, alias, name or table)

    def scn_of(self, node: exp.Table) -> int | None:
        """The SCN that AS OF asks for, else that of the session or of the view around."""
        version = node.args.get("version")
        if version is None:
            return self._default_scn
        see = Expressions(self, Scope())
        said = see(version.expression)
        if str(version.this).upper() == "TIMESTAMP":
            clock = self.session.database.clock
            return clock.scn_at(self.session.moment_of(said) - dt.timedelta(seconds=clock.error))
        if said.literal is None:
            raise OracleError(8181)
        scn = int(said.literal)
        self.scns.append(scn)
        return scn

    def with_scn(self, scn: int | None) -> Translator:
        """A translator for the query of a view, read at the view's SCN."""
        inner = Translator(self.session, self._bind_value, scn)
        inner._made = self._made + 1000  # aliases stay apart
        inner.tables_read, inner.scns = self.tables_read, self.scns
        inner.trusted = True
        return inner


def _derived(alias: str, name: str, query: Query) -> Source:
    columns = [
        (output.name, Typed(f"{alias}.k{number}", output.typed.type, declared=output.typed.declared))
        for number, output in enumerate(query.columns, 1)
    ]
    return Source(alias, name, columns)


def limits(translator: Translator, node: exp.Expression) -> str:
    """OFFSET and FETCH as LIMIT and OFFSET."""
    see = Expressions(translator, Scope())
    out = ""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        count = limit.args.get("count")
        if limit.args.get("limit_options") is not None and limit.args["limit_options"].args.get("percent"):
            out += f" LIMIT {see(count).sql}::DOUBLE %"
        else:
            out += f" LIMIT ({see(count).sql})::BIGINT" if count is not None else " LIMIT 1"
    if offset is not None:
        out += f" OFFSET ({see(offset.expression).sql})::BIGINT"
    return out


class _Selection:
    """One SELECT."""

    def __init__(self, translator: Translator, node: exp.Select, parent: Scope | None) -> None:
        self.translator = translator
        self.node = node
        self.scope = Scope(parent=parent)
        self.see = Expressions(translator, self.scope)
        self.row_limit: list[str] = []

    def translate(self) -> Query:
        node = self.node
        sources = self._sources()
        conditions = self._conditions()
        outputs = self._outputs()
        self.scope.outputs = {output.name: output.typed for output in outputs}
        parts = ["SELECT", "DISTINCT" if node.args.get("distinct") else ""]
        parts.append(", ".join(f"{output.typed.sql} AS k{number}" for number, output in enumerate(outputs, 1)))
        parts.append("FROM " + sources)
        if conditions:
            parts.append("WHERE " + " AND ".join(conditions))
        if group := node.args.get("group"):
            keys = [key for key in group.expressions if not (isinstance(key, exp.Literal) and key.is_string)]
            parts.append("GROUP BY " + ", ".join(self.see(key).sql for key in keys))
        if having := node.args.get("having"):
            parts.append("HAVING " + self.see(having.this).sql)
        tail = limits(self.translator, node)
        if order := node.args.get("order"):
            parts.append(self.see.order(order))
        sql = " ".join(part for part in parts if part) + tail
        if self.row_limit:
            sql = f"SELECT * FROM ({' '.join(part for part in parts if part)}) LIMIT {self.row_limit[0]}"
            if order:  # ROWNUM counts before the rows are sorted
                plain = " ".join(part for part in parts[:-1] if part)
                sql = f"SELECT * FROM ({plain} LIMIT {self.row_limit[0]}) {self._reordered(outputs)}"
        return Query(sql, outputs)

    def _reordered(self, outputs: list[Output]) -> str:
        self.scope.outputs = {
            output.name: replace(output.typed, sql=f"k{number}") for number, output in enumerate(outputs, 1)
        }
        return self.see.order(self.node.args["order"])

    def _sources(self) -> str:
        node = self.node
        first = node.args.get("from_")
        if first is None:
            raise OracleError(923)
        if node.args.get("connect") is not None:
            return self._counting(node.args["connect"])
        sql, source = self.translator.source(first.this, self.scope)
        self.scope.sources.append(source)
        out = [sql]
        joins = list(node.args.get("joins") or []) + list(first.this.args.get("joins") or [])
        for join in joins:
            sql, source = self.translator.source(join.this, self.scope)
            self.scope.sources.append(source)
            side = str(join.args.get("side") or "").upper()
            kind = str(join.args.get("kind") or "").upper()
            if using := join.args.get("using"):
                out.append(f"{side} JOIN {sql} ON {self._using(using)}")
            elif on := join.args.get("on"):
                out.append(f"{side} JOIN {sql} ON {self.see(on).sql}")
            elif kind == "CROSS" or not side:
                out.append(f"CROSS JOIN {sql}")
            else:
                raise unsupported("a join without a condition")
        return " ".join(out)

    def _using(self, names: list[exp.Expression]) -> str:
        right = self.scope.sources[-1]
        tests = []
        for identifier in names:
            name = name_of(identifier)
            left = Scope(self.scope.sources[:-1]).column(name, None)
            other = next(typed for column, typed in right.columns if column == name)
            tests.append(" = ".join(self.see.comparable(left, other)))
            right.columns = [column for column in right.columns if column[0] != name]
        return " AND ".join(tests)

    def _counting(self, connect: exp.Expression) -> str:
        """`CONNECT BY LEVEL <= n`, the usual generator of numbers."""
        condition = connect.args["connect"]
        if not isinstance(condition, exp.LTE | exp.LT) or name_of(condition.this.this) not in ("LEVEL", "ROWNUM"):
            raise unsupported("CONNECT BY other than LEVEL <= n")
        count = self.see(condition.expression)
        more = 1 if isinstance(condition, exp.LTE) else 0
        alias = self.translator._alias()
        self.scope.level = f"{alias}.n"
        self.scope.sources.append(Source(alias, "DUAL", [("DUMMY", Typed("'X'", types.varchar(1)))]))
        return f"(SELECT unnest(range(1, ({count.sql})::BIGINT + {more})) AS n) {alias}"

    def _conditions(self) -> list[str]:
        where = self.node.args.get("where")
        if where is None:
            return []
        kept = []
        for condition in anded(where.this):
            limit = self._row_number_limit(condition)
            if limit is None:
                kept.append(self.see(condition).sql)
            else:
                self.row_limit.append(limit)
        return kept

    def _row_number_limit(self, condition: exp.Expression) -> str | None:
        if not isinstance(condition, exp.LTE | exp.LT | exp.EQ):
            return None
        column = condition.this
        if not (isinstance(column, exp.Column | exp.Pseudocolumn) and name_of(column.this) == "ROWNUM"):
            return None
        value = f"({self.see(condition.expression).sql})::BIGINT"
        return f"greatest(0, {value} - 1)" if isinstance(condition, exp.LT) else value

    def _outputs(self) -> list[Output]:
        outputs: list[Output] = []
        for item in self.node.expressions:
            inner = item.this if isinstance(item, exp.Alias) else item
            if isinstance(inner, exp.Star):
                for source in self.scope.sources:
                    outputs += self._all_of(source)
            elif isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
                wanted = name_of(inner.args["table"])
                found = [source for source in self.scope.sources if source.name == wanted]
                if not found:
                    raise OracleError(904, f'"{wanted}"')
                outputs += self._all_of(found[0])
            else:
                outputs.append(Output(self._name(item), self.see(inner)))
        return outputs

    @staticmethod
    def _all_of(source: Source) -> list[Output]:
        return [Output(name, typed) for name, typed in source.columns if name not in source.hidden]

    @staticmethod
    def _name(item: exp.Expression) -> str:
        if isinstance(item, exp.Alias):
            return name_of(item.args["alias"])
        if isinstance(item, exp.Column | exp.Pseudocolumn):
            return name_of(item.this)
        return item.sql(dialect="oracle").replace(" ", "").upper()[:128]


def anded(node: exp.Expression) -> list[exp.Expression]:
    if isinstance(node, exp.And):
        return anded(node.this) + anded(node.expression)
    if isinstance(node, exp.Paren) and isinstance(node.this, exp.And):
        return anded(node.this)
    return [node]


def partition_of(node: exp.Table) -> tuple[str, bool] | None:
    """The name in `PARTITION (name)`, and whether it is `SUBPARTITION (name)`."""
    partition: Any = node.args.get("partition")
    if partition is None:
        return None
    return name_of(partition.expressions[0].this), bool(partition.args.get("subpartition"))


def sample_of(node: exp.Table) -> tuple[float, bool] | None:
    """The percentage in SAMPLE, and whether whole blocks are drawn."""
    sample: Any = node.args.get("sample")
    if sample is None:
        return None
    percent = sample.args.get("percent") or sample.args.get("size")
    by_block = sample.args.get("method") is not None and sample.args["method"].name.upper() == "BLOCK"
    return float(percent.this), by_block
